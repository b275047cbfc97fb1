"""A Lagoon block with a 0x7D at its end, stored without execution, and what the RPC says of it."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import orjson

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.rules.l1_attributes import Format, L1Attributes, encode_calldata
from l2engine.rules.predeploys import DEPOSITOR, L1_BLOCK
from l2engine.store import schema
from l2engine.store.blocks import BlockStore
from l2engine.store.kv import MemoryKeyValue
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.native_functions import ordered_root
from l2engine.types.receipt import Log, Receipt, merge_blooms, post_execution_receipt
from l2engine.types.transaction import (
    AccessListTransaction,
    DepositTransaction,
    FeeMarketTransaction,
    GasRefund,
    LegacyTransaction,
    PostExecutionTransaction,
    SetCodeTransaction,
)
from l2engine.types.transaction_codec import encode_transaction, signed
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for

GENESIS = loader.load(dev_genesis("lagoon", 1_800_000_000))
BASE_FEE = 10**9
TIP = 10**6
GAS = 30_000
"""The gas used by each transaction before the 0x7D, less its refund."""
ATTRIBUTES = L1Attributes(
    base_fee=10**9, base_fee_scalar=1368, blob_base_fee=57_000_000, blob_base_fee_scalar=801_949, da_footprint_gas_scalar=400
)
KEY = b"\x07" * 32
LOG = Log(b"\x10" * 20, (b"\x22" * 32,), b"\x01")


def transaction(kind: int, nonce: int, attributes: L1Attributes = ATTRIBUTES) -> bytes:
    """A transaction of this type; a deposit carries the L1 attributes."""
    if kind == 0x7E:
        data = encode_calldata(Format.JOVIAN, attributes)
        return encode_transaction(DepositTransaction(bytes([nonce + 1]) * 32, DEPOSITOR, L1_BLOCK, 0, 0, 10**6, False, data))
    chain, to = GENESIS.config.chain_id, b"\x10" * 20
    if kind == 0:
        return signed(LegacyTransaction(nonce, BASE_FEE + TIP, 10**5, to, 0, b"", 35 + 2 * chain), KEY).raw
    if kind == 1:
        return signed(AccessListTransaction(chain, nonce, BASE_FEE + TIP, 10**5, to, 0, b""), KEY).raw
    record = {2: FeeMarketTransaction, 4: SetCodeTransaction}[kind]
    return signed(record(chain, nonce, TIP, 2 * BASE_FEE, 10**5, to, 0, b""), KEY).raw


def post_execution(number: int, *refunds: tuple[int, int]) -> bytes:
    """The bytes of a 0x7D with these refunds: (index, gas)."""
    return encode_transaction(PostExecutionTransaction(1, number, tuple(GasRefund(*refund) for refund in refunds)))


def block(
    raws: Sequence[bytes], refunds: dict[int, int], number: int = 1, first_gas: int = GAS, **header: Any
) -> tuple[Block, tuple[Receipt, ...]]:
    """A block of these transactions and its receipts; signed ones leave a log. `first_gas` is what the first one uses."""
    receipts, gas = [], 0
    for index, raw in enumerate(raws):
        if raw[0] == 0x7D:
            receipts.append(post_execution_receipt(gas))
            continue
        gas += (first_gas if index == 0 else GAS) - refunds.get(index, 0)
        if raw[0] == 0x7E:
            receipts.append(Receipt(0x7E, 1, gas, (), deposit_nonce=7, deposit_receipt_version=1))
        else:
            receipts.append(Receipt(raw[0] if raw[0] < 0xC0 else 0, 1, gas, (LOG,)))
    fields: dict[str, Any] = {
        "parent_hash": GENESIS.hash,
        "ommers_hash": GENESIS.header.ommers_hash,
        "beneficiary": bytes(20),
        "state_root": GENESIS.header.state_root,
        "transactions_root": ordered_root(raws),
        "receipts_root": ordered_root([receipt.encode_for_root() for receipt in receipts]),
        "logs_bloom": merge_blooms(receipt.bloom for receipt in receipts),
        "difficulty": 0,
        "number": number,
        "gas_limit": 30_000_000,
        "gas_used": gas,
        "timestamp": GENESIS.header.timestamp + 2 * number,
        "extra_data": GENESIS.header.extra_data,
        "prev_randao": bytes(32),
        "nonce": bytes(8),
        "base_fee_per_gas": BASE_FEE,
        "withdrawals_root": GENESIS.header.withdrawals_root,
        "blob_gas_used": 0,
        "excess_blob_gas": 0,
        "parent_beacon_block_root": bytes(32),
        "requests_hash": GENESIS.header.requests_hash,
    }
    return Block(Header(**(fields | header)), tuple(raws), (), ()), tuple(receipts)


class Stored:
    """A chain of the genesis block and one more, whose rows are there and whose state is not."""

    def __init__(self, made: Block, receipts: tuple[Receipt, ...]) -> None:
        self.kv, self.block, self.receipts = MemoryKeyValue(), made, receipts
        blocks = BlockStore(self.kv)
        batch = self.kv.batch()
        for item, its_receipts in ((GENESIS.block, ()), (made, receipts)):
            blocks.put(batch, item, its_receipts)
        batch.write()
        batch = self.kv.batch()
        blocks.set_canonical(batch, (), (GENESIS.block, made))
        batch.put(schema.GENESIS, GENESIS.hash)
        batch.write()
        pool = SimpleNamespace(get=lambda tx_hash: None, content=lambda: ({}, {}), status=lambda: (0, 0))
        engine: Any = SimpleNamespace(
            blocks=BlockStore(self.kv),  # reads what was written, nothing kept from before
            state=None,
            executor=None,
            pool=pool,
            config=GENESIS.config,
            head=made.header,
            safe=made.header,
            finalized=made.header,
        )
        self.context, self._methods = Context(engine), methods_for(("eth", "debug"))

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call, or its whole answer when it is an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = orjson.loads(handle(orjson.dumps(request), self._methods, self.context))
        return answer.get("result", answer)


def stored(kinds: Sequence[int], refunds: dict[int, int], number: int = 1, attributes: L1Attributes = ATTRIBUTES, **header: Any) -> Stored:
    """A chain whose block has transactions of these types, the last of them 0x7D."""
    raws = [transaction(kind, nonce, attributes) for nonce, kind in enumerate(kinds) if kind != 0x7D]
    return Stored(*block([*raws, post_execution(number, *refunds.items())], refunds, number, **header))
