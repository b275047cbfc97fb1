"""The rules of a block's 0x7D: every rule by its facts and by its kind, and INVALID for whatever breaks one."""

from dataclasses import replace
from typing import Any

import pytest

from l2engine.chain.payload import from_block
from l2engine.chain.process import process_block
from l2engine.errors import InvalidBlock
from l2engine.refusals import Reason
from l2engine.rules.forks import KARST, LAGOON
from l2engine.rules.l1_attributes import L1Attributes
from l2engine.types.block import Block
from l2engine.types.native_functions import ordered_root
from l2engine.types.transaction import GasRefund, PostExecutionTransaction
from l2engine.types.transaction_codec import encode_transaction
from l2engine.types.transactions import Transactions
from rpc.show.payloads import show_payload
from tests.evm.states import l1_info
from tests.helpers.accounts import signer
from tests.helpers.dev_chain import Forge, document, funded, open_engine, submit
from tests.helpers.in_process import InProcess
from tests.lagoon.blocks import BOTH, BURNER, SINK, Chain, pay, wealth
from tests.lagoon.chain import post_execution
from tests.lagoon.facts import Fact, facts, unhex

KINDS = {
    "entry targets a deposit": Reason.REFUND_TARGET_NOT_SIGNED,
    "Lagoon is not active": Reason.TYPE_NOT_SUPPORTED,
    "more than one post-exec transaction": Reason.POST_EXECUTION_REPEATED,
    "payload belongs to another block number": Reason.POST_EXECUTION_BLOCK_NUMBER,
    "no entries": Reason.REFUNDS_MISSING,
    "an entry refunds nothing": Reason.REFUND_OF_NOTHING,
    "an index appears twice": Reason.REFUNDS_NOT_INCREASING,
    "indices not increasing": Reason.REFUNDS_NOT_INCREASING,
    "entries target transactions that do not exist": Reason.REFUND_TARGET_NOT_SIGNED,
    "no L1-attributes deposit; entry targets the post-exec transaction": Reason.REFUND_TARGET_NOT_SIGNED,
}
"""By the reason that a fact gives."""


@facts("block_rules.json", "post_exec_block_rule")
@BOTH
def test_rule_of_a_block(fact: Fact, evm: str) -> None:
    given, expected = fact.input, fact.expected
    who = signer("ruled")
    chain = Chain(evm, LAGOON if given["lagoon_active"] else KARST, given["block_number"])
    chain.accounts |= wealth(who)
    payloads = iter(given["post_exec"])
    raws = []
    for kind in (int(text, 16) for text in given["transaction_types"]):
        if kind == 0x7E:
            raws.append(l1_info(chain.fork, L1Attributes()))
        elif kind == 0x7D:
            payload = next(payloads)
            entries = tuple(GasRefund(entry["index"], entry["gas_refund"]) for entry in payload["entries"])
            raws.append(encode_transaction(PostExecutionTransaction(payload["version"], payload["block_number"], entries)))
        else:
            raws.append(pay(kind, who, SINK, 50_000, 100))
    assert chain.refusal(raws)[0] is (None if expected["valid"] else KINDS[expected["reason"]])


@facts("block_rules.json", "post_exec_new_payload")
@pytest.mark.parametrize("evm", ["py", "auto"])
def test_bad_payload_is_invalid_and_no_error(fact: Fact, evm: str) -> None:
    genesis = document("lagoon")
    node, forge = InProcess(genesis, evm=evm), Forge(genesis)
    head = forge.genesis
    for block in forge.chain(head, fact.input["block_number"] - 1):
        assert new_payload(node, block)["status"] == "VALID"
        head = block.header
    good = forge.block(head)
    bad = with_body(good, *good.transactions, *(unhex(text) for text in fact.input["transactions"][1:]))
    answer = new_payload(node, bad)
    assert answer["status"] == fact.expected["status"] == "INVALID"
    assert answer["latestValidHash"] == "0x" + head.hash.hex()


def new_payload(node: InProcess, block: Block) -> Any:
    payload = show_payload(from_block(node.engine.config, block))
    return node.call("engine_newPayloadV4", payload, [], "0x" + (block.header.parent_beacon_block_root or b"").hex(), [])


def with_body(block: Block, *transactions: bytes) -> Block:
    """The block with other transactions, and a hash that fits them."""
    return replace(block, header=replace(block.header, transactions_root=ordered_root(transactions)), transactions=transactions)


# ---- rule by rule ---------------------------------------------------------------------------------------------------


def ruled(evm: str) -> tuple[Chain, list[bytes]]:
    """A deposit, a transfer of 21,000 gas and a call that fails with 60,000."""
    who, chain = signer("ruled"), Chain(evm)
    chain.accounts |= wealth(who)
    return chain, [l1_info(LAGOON, L1Attributes()), pay(2, who, SINK, 50_000, 100), pay(0, who, BURNER, 60_000, 100)]


@BOTH
def test_refund_of_all_gas_and_of_one_more(evm: str) -> None:
    chain, raws = ruled(evm)
    assert chain.refusal([*raws, post_execution(100, (1, 21_000), (2, 60_000))]) == (None, "")
    for refunds, words in (([(1, 21_001)], "21001 above the gas used 21000"), ([(1, 1), (2, 60_001)], "60001 above the gas used 60000")):
        assert chain.refusal([*raws, post_execution(100, *refunds)]) == (Reason.REFUND_ABOVE_GAS_USED, f"gas refund {words}")


@BOTH
def test_refund_above_gas_used_leaves_no_trace(evm: str) -> None:
    chain, raws = ruled(evm)
    execution = chain.begin([*raws, post_execution(100, (1, 21_001))])
    failed = execution.apply_all(Transactions(raws))
    assert failed is not None and failed[0] == 1
    result = execution.finish()
    assert result.diff == chain.run(raws[:1]).diff
    assert (len(result.receipts), result.value, execution.gas_before_refunds) == (1, 0, result.gas_used)


@BOTH
def test_last_means_last(evm: str) -> None:
    chain, raws = ruled(evm)
    assert chain.refusal([*raws[:2], post_execution(100, (1, 1)), raws[2]])[0] is Reason.POST_EXECUTION_NOT_LAST
    repeated = [*raws, post_execution(100, (1, 1)), post_execution(100, (2, 1))]
    assert chain.refusal(repeated) == (
        Reason.POST_EXECUTION_REPEATED,
        "more than one post-execution transaction: at index 3 and 4",
    )


@BOTH
@pytest.mark.parametrize("index", [0, 3, 4, 2**64 - 1])
def test_only_signed_transactions_are_refunded(evm: str, index: int) -> None:
    chain, raws = ruled(evm)
    assert chain.refusal([*raws, post_execution(100, (index, 1))])[0] is Reason.REFUND_TARGET_NOT_SIGNED


@BOTH
def test_settlement_below_the_data_floor(evm: str) -> None:
    """EIP-7623's floor is part of the gas that the EVM used; a refund goes below it, and below 21,000."""
    who, chain = signer("floor"), Chain(evm)
    chain.accounts |= wealth(who)
    raw = pay(2, who, SINK, 100_000, 100, data=b"\1" * 500)
    used = chain.run([raw]).gas_used
    assert used == 21_000 + 500 * 40
    assert chain.run([raw, post_execution(100, (0, used - 1))]).gas_used == 1


def test_blocks_of_other_forks_refuse_the_type() -> None:
    for fork in ("regolith", "karst"):
        forge = Forge(document(fork))
        good, engine = forge.block(forge.genesis), open_engine(document(fork))
        bad = with_body(good, *good.transactions, post_execution(1, (1, 1)))
        with pytest.raises(InvalidBlock, match=r"could not apply tx 1 .*: transaction type not supported"):
            process_block(engine.config, engine.executor, engine.state, engine.head, bad)


def test_a_settled_block_is_verified_as_it_was_built() -> None:
    forge, alice = Forge(document("lagoon")), funded("alice")
    raws = [alice.sign(to=SINK), alice.sign(to=SINK)]
    block = forge.block(forge.genesis, *raws, post_execution(1, (1, 21_000), (2, 1)))
    assert block.header.gas_used == forge.block(forge.genesis).header.gas_used + 20_999
    assert submit(open_engine(document("lagoon")), block).status.value == "VALID"
    wrong = with_body(block, *block.transactions[:-1], post_execution(1, (1, 21_000), (2, 2)))
    answer = submit(open_engine(document("lagoon")), wrong)
    assert answer.status.value == "INVALID" and "gas used" in (answer.validation_error or "")
