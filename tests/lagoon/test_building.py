"""Blocks built from attributes with a 0x7D among them, and activation blocks, which take no transactions of users."""

from dataclasses import replace

import pytest

from l2engine.chain.process import block_env, seal
from l2engine.errors import InvalidAttributes
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.payload import Status
from tests.helpers.dev_chain import Forge, document, funded, open_engine, submit
from tests.helpers.in_process import InProcess
from tests.helpers.rollup_node import attributes_json
from tests.lagoon.chain import post_execution
from tests.lagoon.facts import Fact, facts

SINK = b"\1" * 20
GENESIS = document("lagoon")


@pytest.fixture(scope="module")
def forge() -> Forge:
    return Forge(GENESIS)


def raws(*refunds: tuple[int, int], number: int = 1) -> tuple[bytes, ...]:
    """Two transfers of alice, and a 0x7D."""
    alice = funded("alice")
    return alice.sign(to=SINK), alice.sign(to=SINK), post_execution(number, *refunds)


# ---- forced 0x7D ----------------------------------------------------------------------------------------------------


def test_forced_refunds_are_applied_as_a_verifier_does(forge: Forge) -> None:
    block = forge.block(forge.genesis, *raws((1, 20_000), (2, 21_000)))
    plain = forge.block(forge.genesis, *raws((1, 1))[:2])
    assert block.transactions == (*plain.transactions, raws((1, 20_000), (2, 21_000))[2])
    assert plain.header.gas_used - block.header.gas_used == 41_000
    assert block.header.blob_gas_used == plain.header.blob_gas_used
    assert submit(open_engine(GENESIS), block).status is Status.VALID


REFUSED = {
    "more than was used": (raws((1, 21_001)), "failed to force-include tx: .* type: 2 .* err: gas refund 21001 above the gas used 21000"),
    "of a deposit": (raws((0, 5)), "gas refund for index 0, where the block has no signed transaction"),
    "of another block": (raws((1, 5), number=2), "post-execution transaction is for block 2, not for block 1"),
    "none": (raws(), "post-execution transaction without gas refunds"),
    "not last": (raws((1, 5))[::-1], "post-execution transaction at index 1 is not the block's last"),
    "two": ((*raws((1, 5)), post_execution(1, (2, 5))), "more than one post-execution transaction"),
    "not canonical": ((b"\x7d\xc0",), "transaction 1 is not valid"),
    "of another version": ((bytes.fromhex("7dc6022ac3c20307"),), "transaction 1 is not valid: unsupported version 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_refunds_fail_the_build(forge: Forge, case: str) -> None:
    forced, words = REFUSED[case]
    with pytest.raises(InvalidAttributes, match=words):
        forge.block(forge.genesis, *forced)


def test_bad_refunds_are_answered_with_38003(forge: Forge) -> None:
    node = InProcess(GENESIS, evm="auto")
    state = {name: "0x" + forge.genesis.hash.hex() for name in ("headBlockHash", "safeBlockHash", "finalizedBlockHash")}
    for forced, _ in REFUSED.values():
        answer = node.call("engine_forkchoiceUpdatedV3", state, attributes_json(forge.attributes(forge.genesis, *forced)))
        assert answer["error"]["code"] == -38003
    good = node.call("engine_forkchoiceUpdatedV3", state, attributes_json(forge.attributes(forge.genesis, *raws((1, 5)))))
    assert node.call("engine_getPayloadV5", good["payloadId"])["executionPayload"]["transactions"][-1].startswith("0x7d")


def test_refunds_with_the_pool_open_are_refused(forge: Forge) -> None:
    with pytest.raises(InvalidAttributes, match="post-execution transaction in attributes that take transactions of the pool"):
        forge.block(forge.genesis, *raws((1, 5)), no_tx_pool=False)


def test_refunds_before_lagoon_are_refused() -> None:
    forge = Forge(document("karst"))
    with pytest.raises(InvalidAttributes, match=r"failed to force-include tx: .* type: 125 .* transaction type not supported"):
        forge.block(forge.genesis, *raws((1, 5)))


# ---- activation blocks ----------------------------------------------------------------------------------------------


BEFORE = {"isthmus": "holocene", "jovian": "isthmus", "karst": "jovian", "lagoon": "karst"}


def before_activation(fork: str) -> tuple[Forge, Header]:
    """A chain whose next block activates a fork."""
    forge = Forge(document(BEFORE[fork], {fork: 4}))
    return forge, forge.block(forge.genesis).header


@facts("activation.json", "activation_block_user_transaction")
def test_user_transaction_in_an_activation_block(fact: Fact) -> None:
    forge, parent = before_activation(fact.input["fork_activating_in_this_block"])
    raw = funded("alice").sign(to=SINK)
    if fact.input["path"] != "engine_newPayloadV4":
        for no_tx_pool in (True, False):
            if fact.expected["refused"]:
                with pytest.raises(InvalidAttributes, match=r"unexpected non-deposit transactions? in \w+ activation block"):
                    forge.block(parent, raw, no_tx_pool=no_tx_pool)
            else:
                assert forge.block(parent, raw, no_tx_pool=no_tx_pool).transactions[-1] == raw
        return
    assert fact.expected["refused"].startswith("unsettled")
    block = sealed(forge, parent, forge.block(parent), raw)
    assert submit(forge.engine, block).status is Status.VALID  # our choice: docs/differences.md


def sealed(forge: Forge, parent: Header, block: Block, *more: bytes) -> Block:
    """The block with more transactions and all that follows from them."""
    engine = forge.engine
    whole = replace(block, transactions=(*block.transactions, *more))
    execution = engine.executor.begin(engine.state.view(parent.hash), block_env(engine.config, whole, parent))
    assert execution.apply_all(whole.transactions) is None
    result = execution.finish()
    prepared = engine.state.prepare(parent.hash, result.diff)
    fork = engine.config.fork_at(whole.number, whole.header.timestamp)
    return replace(whole, header=seal(whole.header, fork, whole, result, prepared, engine.state))


def test_pool_is_not_asked_in_lagoons_activation_block() -> None:
    forge, parent = before_activation("lagoon")
    forge.engine.pool.add(funded("alice").sign(to=SINK))
    activation = forge.block(parent, no_tx_pool=False)
    assert len(activation.transactions) == 1
    assert len(forge.block(activation.header, no_tx_pool=False).transactions) == 2


def test_no_refund_fits_into_an_activation_block() -> None:
    forge, parent = before_activation("lagoon")
    with pytest.raises(InvalidAttributes, match="where the block has no signed transaction"):
        forge.block(parent, post_execution(2, (0, 1)))
