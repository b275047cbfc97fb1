"""Engine methods: which version goes with which fork and fields, in op-geth's words; what reaches the chain and what comes back."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.types.base import EMPTY_REQUESTS_HASH
from l2engine.types.block import Block
from l2engine.types.limits import RpcSettings
from l2engine.types.payload import BuiltPayload, ForkchoiceResult, PayloadStatus, Status
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors

METHODS = methods_for(ENGINE_NAMESPACES)
ZERO = "0x" + "00" * 32
HASH = "0x" + "ab" * 32
FOLDERS = sorted(path.parent for path in VECTORS.glob("recordings-upgrades/*/invalid.jsonl.gz"))


class FakeEngine(SimpleNamespace):
    """Notes what arrives."""

    def __init__(self, genesis: loader.Genesis) -> None:
        super().__init__(
            blocks=None, state=None, pool=None, executor=None, config=genesis.config, head=genesis.header, asked=[], built=None
        )

    def new_payload(self, *arguments: Any) -> PayloadStatus:
        self.asked.append(arguments)
        return PayloadStatus(Status.VALID, bytes(32))

    def forkchoice_updated(self, *arguments: Any) -> ForkchoiceResult:
        self.asked.append(arguments)
        return ForkchoiceResult(PayloadStatus(Status.VALID, bytes(32)), None if arguments[1] is None else bytes(8))

    def get_payload(self, identity: bytes) -> BuiltPayload:
        self.asked.append((identity,))
        return self.built


def context(fork: str = "jovian", **settings: Any) -> Context:
    engine: Any = FakeEngine(loader.load(dev_genesis(fork, 1_700_000_000)))
    return Context(engine, RpcSettings(**settings))


def ask(where: Context, name: str, *params: Any) -> Any:
    answer = json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": list(params)}).encode(), METHODS, where))
    return answer.get("result", answer.get("error"))


@needs_vectors
@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_refusals_before_the_chain_is_asked_equal_op_geths(folder: Path) -> None:
    engine: Any = FakeEngine(loader.load(folder / "genesis.json"))
    where = Context(engine)
    compared = 0
    for row in json_lines(folder / "invalid.jsonl.gz"):
        error = row["response"].get("error")
        if error is None or error["code"] not in (-32601, -32602, -38004, -38005) or "minBaseFee of type" in error["message"]:
            continue
        got = ask(where, row["request"]["method"], *row["request"]["params"])
        if "unmarshal" in error["message"]:  # the Go type's name is op-geth's own
            assert got["code"] == error["code"], row["name"]
        else:
            assert got == error, row["name"]
        compared += 1
    assert compared > 10
    assert not engine.asked


ATTRIBUTES = {
    "timestamp": "0x6553f102",
    "prevRandao": ZERO,
    "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011",
    "withdrawals": [],
    "parentBeaconBlockRoot": ZERO,
    "gasLimit": "0x1c9c380",
    "eip1559Params": "0x000000fa00000006",
    "transactions": ["0x7e01"],
    "noTxPool": True,
}
STATE = {"headBlockHash": HASH, "safeBlockHash": ZERO, "finalizedBlockHash": ZERO}


@pytest.mark.parametrize(("given", "taken"), [(5, 5), ("0x5", 5), (0, 0), (None, None)])
def test_min_base_fee_is_taken_as_number_and_as_hex(given: Any, taken: int | None) -> None:
    where = context()
    assert ask(where, "engine_forkchoiceUpdatedV3", STATE, {**ATTRIBUTES, "minBaseFee": given})["payloadId"] == "0x" + "00" * 8
    ((state, attributes, version),) = where.engine.asked
    assert (state.head, version) == (bytes.fromhex(HASH[2:]), 3)
    assert attributes.min_base_fee == taken
    assert attributes.transactions == (b"\x7e\x01",)
    assert attributes.no_tx_pool


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("fork", ["regolith", "ecotone", "jovian"])
def test_forkchoice_without_attributes_goes_with_any_version(version: int, fork: str) -> None:
    where = context(fork)
    for params in ([STATE], [STATE, None]):
        assert ask(where, f"engine_forkchoiceUpdatedV{version}", *params) == {
            "payloadStatus": {"status": "VALID", "latestValidHash": ZERO, "validationError": None},
            "payloadId": None,
        }


GET_PAYLOAD = {  # fork: the versions that serve it, by the first byte of the id
    "regolith": {1: (1, 2), 2: (2,)},
    "canyon": {2: (2,)},
    "ecotone": {3: (3,)},
    "isthmus": {3: (4,)},
    "karst": {3: (5,)},
    "lagoon": {3: (5,)},
}


@pytest.mark.parametrize("fork", GET_PAYLOAD)
def test_get_payload_versions(fork: str) -> None:
    genesis = loader.load(dev_genesis(fork, 1_700_000_000))
    where = context(fork)
    where.engine.built = BuiltPayload(genesis.block, 7)  # type: ignore[attr-defined]
    for first in (1, 2, 3):
        for version in (1, 2, 3, 4, 5):
            got = ask(where, f"engine_getPayloadV{version}", "0x" + bytes([first, *bytes(7)]).hex())
            expected = version in GET_PAYLOAD[fork].get(first, ())
            if (fork, first, version) in (("canyon", 1, 1), ("canyon", 1, 2)):
                continue  # an id that no build of that fork has
            allowed = expected or (version == 2 and first == 1 and fork in ("regolith", "canyon")) or (version == 1 and first == 1)
            assert ("code" not in got) == allowed, (first, version, got)
            if not allowed:
                assert got == {"code": -38005, "message": "Unsupported fork"}


def test_envelope_of_prague_payloads() -> None:
    genesis = loader.load(dev_genesis("isthmus", 1_700_000_000))
    where = context("isthmus")
    where.engine.built = BuiltPayload(genesis.block, 7)  # type: ignore[attr-defined]
    envelope = ask(where, "engine_getPayloadV4", "0x03" + "00" * 7)
    assert genesis.header.requests_hash == EMPTY_REQUESTS_HASH
    assert {key: value for key, value in envelope.items() if key != "executionPayload"} == {
        "blockValue": "0x7",
        "blobsBundle": {"commitments": [], "proofs": [], "blobs": []},
        "executionRequests": [],
        "shouldOverrideBuilder": False,
        "parentBeaconBlockRoot": ZERO,
    }
    payload = envelope["executionPayload"]
    assert payload["withdrawalsRoot"] == "0x" + (genesis.header.withdrawals_root or b"").hex()
    assert payload["slotNumber"] is None
    assert payload["withdrawals"] == []


def test_signal_superchain_halts_only_when_told_to() -> None:
    supported = "0x" + bytes(16).hex() + "00000009" + "00000000" * 3
    newer = "0x" + bytes(16).hex() + "0000000a" + "00000000" * 3
    newer_minor = "0x" + bytes(16).hex() + "00000009" + "00000001" + "00000000" * 2
    for halt, required, stops in (
        ("", newer, 0),
        ("major", newer, 1),
        ("major", newer_minor, 0),
        ("minor", newer_minor, 1),
        ("major", supported, 0),
    ):
        reasons: list[str] = []
        where = context(rollup_halt=halt)
        where.halt = reasons.append
        assert ask(where, "engine_signalSuperchainV1", {"recommended": newer, "required": required}) == supported
        assert len(reasons) == stops
    assert ask(context(), "engine_signalSuperchainV1", None) == supported
    assert ask(context(), "engine_signalSuperchainV1") == supported


def test_signal_superchain_warns_of_what_is_ahead(caplog: pytest.LogCaptureFixture) -> None:
    supported, newer = ("0x" + bytes(16).hex() + number + "00000000" * 3 for number in ("00000009", "0000000a"))
    for recommended, required, kinds in (
        (supported, supported, []),
        (newer, supported, ["recommended"]),
        (newer, newer, ["recommended", "required"]),
    ):
        caplog.clear()
        ask(context(), "engine_signalSuperchainV1", {"recommended": recommended, "required": required})
        assert [kind for record in caplog.records for kind in ("recommended", "required") if f"10.0.0 is {kind}" in record.message] == kinds


def test_the_two_sides_present_themselves() -> None:
    where = context()
    names = ask(where, "engine_exchangeCapabilities", ["engine_newPayloadV3"])
    assert "engine_getPayloadV5" in names
    assert "engine_exchangeCapabilities" not in names
    (client,) = ask(where, "engine_getClientVersionV1", {"code": "OP", "name": "op-node", "version": "v1", "commit": "0x00000000"})
    assert set(client) == {"code", "name", "version", "commit"}
    assert len(client["code"]) == 2
    merged = {"terminalTotalDifficulty": "0x0", "terminalBlockHash": ZERO, "terminalBlockNumber": "0x0"}
    assert ask(where, "engine_exchangeTransitionConfigurationV1", merged) == merged
    assert (
        ask(where, "engine_exchangeTransitionConfigurationV1", {**merged, "terminalTotalDifficulty": "0x1"})["message"]
        == "invalid ttd: execution 0 consensus 1"
    )


def test_block_without_withdrawals_has_null_in_its_body() -> None:
    genesis = loader.load(dev_genesis("regolith", 1_700_000_000))
    where = context("regolith")
    where.blocks = SimpleNamespace(block=lambda block_hash: Block(genesis.header, (b"\x01",)) if block_hash == genesis.hash else None)  # type: ignore[assignment]
    assert ask(where, "engine_getPayloadBodiesByHashV1", ["0x" + genesis.hash.hex(), HASH]) == [
        {"transactions": ["0x01"], "withdrawals": None},
        None,
    ]
