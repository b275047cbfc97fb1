"""One block over its parent's state: every commitment is compared, and nothing is written."""

from dataclasses import replace
from typing import Any

import pytest

from l2engine.chain.process import process_block
from l2engine.errors import InvalidBlock, RootMismatch
from l2engine.rules.deposits import l1_attributes_source
from l2engine.types.base import EMPTY_ROOT
from l2engine.types.block import Block, Withdrawal
from l2engine.types.transaction import BlobTransaction, DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from l2engine.types.trie_root import ordered_root
from tests.helpers.dev_chain import Forge, document, funded, open_engine, spoiled

SINK = b"\1" * 20
FORKS = ("regolith", "canyon", "ecotone", "isthmus", "jovian")


@pytest.fixture(scope="module")
def forges() -> dict[str, Forge]:
    return {fork: Forge(document(fork)) for fork in FORKS}


def check(forge: Forge, block: Block) -> Any:
    """Process a child of the genesis on a chain of its own."""
    engine = open_engine(document(forge.engine.config.fork_at(0, forge.genesis.timestamp).name))
    return process_block(engine.config, engine.executor, engine.state, engine.head, block)


def with_body(block: Block, *transactions: bytes, **header: Any) -> Block:
    """The block with other transactions and their root."""
    changed = replace(block.header, transactions_root=ordered_root(transactions), **header)
    return Block(changed, tuple(transactions), (), block.withdrawals)


@pytest.mark.parametrize("fork", FORKS)
def test_valid_block_is_executed_and_nothing_written(forges: dict[str, Forge], fork: str) -> None:
    forge = forges[fork]
    block = forge.block(forge.genesis, funded("alice").sign(to=SINK, value=1))
    engine = open_engine(document(fork))
    rows = dict(engine._kv.iterate(b"", b"\xff"))
    executed = process_block(engine.config, engine.executor, engine.state, engine.head, block)
    assert executed.state.root == block.header.state_root
    assert len(executed.receipts) == 2
    assert dict(engine._kv.iterate(b"", b"\xff")) == rows


FIELDS: dict[str, tuple[str, Any]] = {
    "state_root": ("merkle root", b"\1" * 32),
    "receipts_root": ("receipt root hash", b"\1" * 32),
    "logs_bloom": ("bloom", b"\1" * 256),
    "gas_used": ("gas used", 21_000),
    "transactions_root": ("transaction root hash", b"\1" * 32),
    "withdrawals_root": ("withdrawals root", b"\1" * 32),
    "blob_gas_used": ("blobGasUsed", 40_000),
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_commitment_is_compared(forges: dict[str, Forge], field: str) -> None:
    forge = forges["jovian"]
    block = forge.block(forge.genesis)
    name, wrong = FIELDS[field]
    with pytest.raises(RootMismatch) as caught:
        check(forge, spoiled(block, **{field: wrong}))
    assert (caught.value.field, caught.value.expected, caught.value.got) == (name, wrong, getattr(block.header, field))


def test_failing_transaction_is_named(forges: dict[str, Forge]) -> None:
    forge, raw = forges["jovian"], funded("alice").sign(nonce=3)
    block = forge.block(forge.genesis)
    with pytest.raises(InvalidBlock, match=r"could not apply tx 1 \[0x[0-9a-f]{64}\]: nonce too high"):
        check(forge, with_body(block, *block.transactions, raw))


def test_undecodable_and_blob_transactions_spoil_a_block(forges: dict[str, Forge]) -> None:
    forge = forges["isthmus"]
    block = forge.block(forge.genesis)
    with pytest.raises(InvalidBlock, match="invalid transaction 1"):
        check(forge, with_body(block, *block.transactions, b"\2\1"))
    blob = encode_transaction(BlobTransaction(901, 0, 0, 1, 21_000, SINK, 0, b"", (), 1, (b"\1" + bytes(31),), 0, 1, 1))
    with pytest.raises(InvalidBlock, match="data blobs present in block body"):
        check(forge, with_body(block, *block.transactions, blob))


def deposit(mint: int = 0, system: bool = False) -> bytes:
    source = l1_attributes_source(b"\5" * 32, 0)
    return encode_transaction(
        DepositTransaction(source, SINK, SINK, mint=mint, value=0, gas=50_000, is_system_transaction=system, data=b"")
    )


def test_system_deposit_since_regolith_spoils_the_block(forges: dict[str, Forge]) -> None:
    forge = forges["regolith"]
    block = forge.block(forge.genesis)
    with pytest.raises(InvalidBlock, match="could not apply tx 1"):
        check(forge, with_body(block, *block.transactions, deposit(system=True)))


def test_mint_beyond_any_balance_spoils_the_block(forges: dict[str, Forge]) -> None:
    forge = forges["ecotone"]
    block = forge.block(forge.genesis)
    with pytest.raises(InvalidBlock, match="could not apply tx 1"):
        check(forge, with_body(block, *block.transactions, deposit(mint=2**256)))


def test_withdrawals_belong_to_the_fork(forges: dict[str, Forge]) -> None:
    canyon, regolith = forges["canyon"], forges["regolith"]
    block = canyon.block(canyon.genesis)
    with pytest.raises(InvalidBlock, match="missing withdrawals in block body"):
        check(canyon, replace(block, withdrawals=None))
    with pytest.raises(InvalidBlock, match="withdrawals"):
        check(canyon, replace(block, withdrawals=(Withdrawal(1, 2, SINK, 3),)))
    block = regolith.block(regolith.genesis)
    with pytest.raises(InvalidBlock, match="withdrawals present in block body"):
        check(regolith, replace(block, withdrawals=()))


def test_withdrawals_root_is_the_message_passers_from_isthmus(forges: dict[str, Forge]) -> None:
    roots = {fork: forges[fork].block(forges[fork].genesis).header.withdrawals_root for fork in FORKS}
    assert roots["regolith"] is None
    assert roots["canyon"] == roots["ecotone"] == EMPTY_ROOT
    assert roots["isthmus"] == roots["jovian"]
    assert roots["isthmus"] not in (None, EMPTY_ROOT)


def test_jovian_block_needs_its_l1_attributes(forges: dict[str, Forge]) -> None:
    forge = forges["jovian"]
    block = forge.block(forge.genesis)
    for transactions in ((), (deposit(),), (funded("alice").sign(), block.transactions[0])):
        with pytest.raises(InvalidBlock, match="missing L1 attributes deposit transaction"):
            check(forge, with_body(block, *transactions))
