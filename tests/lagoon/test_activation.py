"""The activation block against the Lagoon facts, as far as an engine sees it: it builds what it is given, and executes it."""

import gzip
import json
from typing import Any

import pytest

from genesis.registry import registry
from l2engine.errors import InvalidAttributes
from l2engine.rules.l1_attributes import Format, deposit_format
from l2engine.rules.predeploys import L1_BLOCK
from l2engine.types.base import keccak
from l2engine.types.transaction_codec import decode_transaction
from tests.helpers.accounts import signer
from tests.helpers.dev_chain import Forge, document
from tests.helpers.in_process import InProcess
from tests.helpers.rollup_node import attributes_json
from tests.lagoon.facts import FOLDER, Fact, facts, unhex
from tests.lagoon.upgrade import bundle, deposits

ZERO = "0x" + "00" * 32
IMPLEMENTATION = int(keccak(b"eip1967.proxy.implementation").hex(), 16) - 1


@pytest.fixture
def forge() -> Forge:
    """At Karst, two seconds before Lagoon."""
    return Forge(document("karst", {"lagoon": 2}))


@facts("activation.json", "activation")
def test_activation(fact: Fact, request: pytest.FixtureRequest) -> None:
    _CHECKS[fact.input["fact"]](fact.input, fact.expected, request)


def gas_of_the_bundle(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    wrappers = [decode_transaction(raw).gas for raw in (deposits(2)[0], deposits(2)[-1])]
    assert sum(int(row["gasLimit"]) for row in bundle()) == expected["bundle_gas"]
    assert sum(wrappers) == expected["wrappers_gas"]
    assert expected["bundle_gas"] + sum(wrappers) == expected["added_to_gas_limit"]


def gas_limit_around_activation(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    """The rollup node says the limit of every block; no bound by the parent's holds it back, up or down."""
    forge = Forge(document("karst", {"lagoon": 4}))
    before = forge.block(forge.genesis, gas_limit=expected["before"])
    activation = forge.block(before.header, gas_limit=expected["activation_block"])
    after = forge.block(activation.header, gas_limit=expected["after"])
    names = [forge.engine.config.fork_at(made.number, made.header.timestamp).name for made in (before, activation, after)]
    assert names == ["karst", "lagoon", "lagoon"]
    limits = [made.header.gas_limit for made in (before, activation, after)]
    assert limits == [given["system_config_gas_limit"], expected["activation_block"], given["system_config_gas_limit"]]


def order_in_the_activation_block(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    forge: Forge = request.getfixturevalue("forge")
    assert [row.partition(" ")[0] for row in expected["order"]] == ["L1", "user", "setFeature(INTEROP)", "28", "ETHLiquidity"]
    block = forge.block(forge.genesis, *deposits(2), gas_limit=120_653_172)
    first = decode_transaction(block.transactions[0])
    assert deposit_format(first) is Format.JOVIAN
    assert list(block.transactions[1:]) == deposits(2)


def upgrade_deposits_by_dependency_set(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    assert len(deposits(given["chains_in_dependency_set"])) == expected["count"]


def schedule(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    """An engine need not know who depends on whom: the deposits tell."""
    (chain,) = [chain for chain in registry().chains.values() if chain.chain_id == given["chain_id"]]
    assert chain.forks["lagoon"] == expected["lagoon_time"]
    assert expected["multi_chain_activation"] == (chain.key.partition("/")[2] in ("op", "unichain"))


def engine_methods(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    """A block through the Engine API; the versions before the ones at Lagoon are refused."""
    genesis = document("lagoon")
    maker, node = Forge(genesis), InProcess(genesis)
    attributes = attributes_json(maker.attributes(maker.genesis))
    state = {"headBlockHash": "0x" + maker.genesis.hash.hex(), "safeBlockHash": ZERO, "finalizedBlockHash": ZERO}
    update, get, new = (expected[name] for name in ("forkchoiceUpdated", "getPayload", "newPayload"))
    assert "error" in node.call(f"engine_forkchoiceUpdatedV{update - 1}", state, attributes)
    identity = node.call(f"engine_forkchoiceUpdatedV{update}", state, attributes)["payloadId"]
    assert "error" in node.call(f"engine_getPayloadV{get - 1}", identity)
    payload = node.call(f"engine_getPayloadV{get}", identity)
    root = payload["parentBeaconBlockRoot"]
    assert "error" in node.call(f"engine_newPayloadV{new - 1}", payload["executionPayload"], [], root)
    assert node.call(f"engine_newPayloadV{new}", payload["executionPayload"], [], root, [])["status"] == "VALID"


def single_chain_post_state(given: Any, expected: Any, request: pytest.FixtureRequest) -> None:
    """The whole block, run on the recorded state before it; then also against the recorded state after it."""
    before, after = (json.loads(gzip.decompress((FOLDER / f"{name}_state.json.gz").read_bytes())) for name in ("karst", "lagoon"))
    genesis = document("karst", {"lagoon": 2})
    recorded = {address[2:] for address in before}
    genesis["alloc"] = before | {key: row for key, row in genesis["alloc"].items() if key.removeprefix("0x").lower() not in recorded}
    forge = Forge(genesis)
    view = forge.engine.state.view(forge.block(forge.genesis, *deposits(1), gas_limit=120_653_172).hash)
    assert keccak(b"INTEROP".ljust(32, b"\0") + (9).to_bytes(32, "big")) == unhex(expected["interop_flag_slot_of_L1Block"])
    assert view.storage(L1_BLOCK, int(expected["interop_flag_slot_of_L1Block"], 16)) == expected["interop_flag"]
    for last in (0x22, 0x23, 0x24, 0x25):
        assert view.storage(_predeploy(last), IMPLEMENTATION) == int(expected["implementation_of_0x4200..22_to_25"], 16)
    liquidity = view.account(_predeploy(0x25))
    assert liquidity is not None and liquidity.balance == expected["balance_of_0x4200..25"]
    slots = [
        (unhex(address), int(slot, 16), int(value, 16)) for address, row in after.items() for slot, value in row.get("storage", {}).items()
    ]
    assert [slot for slot in slots if view.storage(*slot[:2]) != slot[2]] == [] and len(slots) > 50


def _predeploy(last: int) -> bytes:
    return unhex("0x42") + bytes(18) + bytes([last])


_CHECKS = {
    "gas of the bundle": gas_of_the_bundle,
    "gas limit around activation": gas_limit_around_activation,
    "order in the activation block": order_in_the_activation_block,
    "upgrade deposits by dependency set": upgrade_deposits_by_dependency_set,
    "schedule": schedule,
    "engine methods at and after Lagoon": engine_methods,
    "single-chain post-state": single_chain_post_state,
}


def test_a_user_transaction_in_the_activation_block_is_refused(forge: Forge) -> None:
    with pytest.raises(InvalidAttributes, match="non-deposit transaction in lagoon activation block"):
        forge.block(forge.genesis, signer("alice").sign())
