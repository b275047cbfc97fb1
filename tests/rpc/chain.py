"""Contexts to ask: a chain that stands at the dev genesis, and recorded chains, stored as they are or executed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.chain.engine import Engine
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.state import LayeredState
from l2engine.types.block import Block
from l2engine.types.header import decode_header
from l2engine.types.limits import RpcSettings
from l2engine.types.receipt import decode_receipt
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for
from tests.helpers.vectors import json_lines


def at_genesis(settings: RpcSettings | None = None, fork: str = "jovian") -> Context:
    """The dev chain before its first block."""
    genesis = loader.load(dev_genesis(fork, 1_700_000_000))
    kv = MemoryKeyValue()
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    engine = Engine(genesis.config, kv, BlockStore(kv), LayeredState(kv), ReferenceExecutor(genesis.config))
    return Context(engine, settings or RpcSettings(), client_version="l2engine/test")


def recorded(folder: Path) -> Context:
    """A recorded chain with its blocks and receipts, without state."""
    genesis = loader.load(folder / "genesis.json")
    blocks = BlockStore(MemoryKeyValue())
    _put(blocks, genesis.block, ())
    head, labels = genesis.block.header, (bytes(32), bytes(32))
    for row in json_lines(folder / "blocks.jsonl.gz"):
        head, labels = _put_row(blocks, row)
    engine: Any = SimpleNamespace(
        blocks=blocks,
        state=None,
        executor=None,
        pool=SimpleNamespace(get=lambda tx_hash: None, content=lambda: ({}, {}), status=lambda: (0, 0)),
        config=genesis.config,
        head=head,
        safe=blocks.header(labels[0]),
        finalized=blocks.header(labels[1]),
    )
    return Context(engine)


def _put_row(blocks: BlockStore, row: dict[str, Any]) -> tuple[Any, tuple[bytes, bytes]]:
    payload = row["newPayload"]["params"][0]
    header = decode_header(_bytes(row["rawHeader"]))
    withdrawals = None if payload.get("withdrawals") is None else ()
    _put(
        blocks,
        Block(header, tuple(_bytes(raw) for raw in payload["transactions"]), withdrawals=withdrawals),
        tuple(decode_receipt(_bytes(raw)) for raw in row["rawReceipts"]),
    )
    state = (row.get("setHead") or row["forkchoiceAfter"])["params"][0]
    return header, (_bytes(state["safeBlockHash"]), _bytes(state["finalizedBlockHash"]))


def _put(blocks: BlockStore, block: Block, receipts: tuple[Any, ...]) -> None:
    batch = blocks._kv.batch()
    blocks.put(batch, block, receipts)
    batch.write()
    batch = blocks._kv.batch()
    blocks.set_canonical(batch, (), (block,))
    batch.write()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def executed(folder: Path) -> Context:
    """A recorded chain, every block fed through the Engine API's methods and executed."""
    genesis = loader.load(folder / "genesis.json")
    kv = MemoryKeyValue()
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    state = LayeredState(kv, history_state=0, history_proofs=0)
    context = Context(Engine(genesis.config, kv, BlockStore(kv), state, ReferenceExecutor(genesis.config)))
    methods = methods_for(("engine",))
    for row in json_lines(folder / "blocks.jsonl.gz"):
        after = row.get("setHead") or {"version": 3, **row["forkchoiceAfter"]}
        for name, call in (("engine_newPayloadV", row["newPayload"]), ("engine_forkchoiceUpdatedV", after)):
            request = {"jsonrpc": "2.0", "id": 1, "method": f"{name}{call['version']}", "params": call["params"]}
            assert b"VALID" in handle(orjson.dumps(request), methods, context)
    return context
