"""debug_getRaw*, debug_trace*: running a transaction, a block or a call again with a tracer, and execution witnesses.

Sources: geth internal/ethapi (raw objects), eth/tracers/api.go (options and errors); reth's debug_executionWitness and
debug_executePayload. The tracers are in `evm/tracers`, what a witness is in `chain/witness.py`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from l2engine.chain.process import block_env
from l2engine.errors import DecodeError, ExecutionTimeout, InvalidBlock, InvalidParams, InvalidTransaction
from l2engine.evm import tracers
from l2engine.evm.executor import BlockExecution
from l2engine.types.base import Hash32, keccak
from l2engine.types.block import Block, decode_block
from l2engine.types.duration import parse_duration
from l2engine.types.execution import Deadline
from l2engine.types.header import Header
from l2engine.types.json_text import JsonText
from l2engine.types.payload import PayloadAttributes
from l2engine.types.state import ChangedView, StateView
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, Written, method
from rpc.read.blocks import BlockReference, BlockTag, block_reference, block_tag, or_latest
from rpc.read.calls import to_call, transaction_args
from rpc.read.payloads import payload_attributes
from rpc.read.traces import trace_call_options, trace_options
from rpc.read.values import data, hash32
from rpc.show.witnesses import show_witness

TRACE_TIMEOUT_SECONDS = 60.0  # unless the options say otherwise; geth's 5 seconds are short for the reference executor

# ---- raw objects ----------------------------------------------------------------------------------------------------


def get_raw_header(context: Context, reference: BlockReference) -> str:
    """A header's RLP; "0x" for a number above the head's."""
    header = context.header(reference)
    if header is None:
        return _unknown("header", reference)
    return "0x" + header.encode().hex()


def get_raw_block(context: Context, reference: BlockReference) -> str:
    """A block's RLP; "0x" for a number above the head's."""
    block = context.block(reference)
    if block is None:
        return _unknown("block", reference)
    return "0x" + block.encode().hex()


def get_raw_receipts(context: Context, reference: BlockReference) -> list[str] | None:
    """A block's receipts in their network form."""
    block = context.block(reference)
    if block is None:
        return [] if isinstance(reference, bytes) else None
    return ["0x" + receipt.encode().hex() for receipt in context.receipts(block.hash)]


def get_raw_transaction(context: Context, tx_hash: Hash32) -> str:
    """A transaction's EIP-2718 bytes; "0x" when it is not known."""
    return "0x" + (context.raw_transaction(tx_hash) or b"").hex()


def _unknown(what: str, reference: BlockReference) -> str:
    """geth's answer: "0x" for a number, for a hash an error in which Go's %d has made decimals of its bytes."""
    if isinstance(reference, bytes):
        raise RpcError(SERVER_ERROR, f"{what} #[{' '.join(map(str, reference))}] not found")
    return "0x"


# ---- witnesses ------------------------------------------------------------------------------------------------------


def execution_witness(context: Context, reference: BlockReference) -> dict[str, list[str]]:
    """All that executing a block on its parent's state reads."""
    block = context.block(reference)
    if block is None:
        raise RpcError(SERVER_ERROR, "block not found")
    if block.number == 0:
        raise RpcError(SERVER_ERROR, "genesis has no witness: nothing was executed")
    parent = context.header_or_error(block.header.parent_hash)
    deadline = context.request_time.deadline(math.inf)
    return show_witness(context.engine.witnesses.of_block([context.executor], parent, block, deadline))


def execute_payload(context: Context, parent_hash: Hash32, attributes: PayloadAttributes) -> dict[str, list[str]]:
    """All that making a block of these attributes, without the pool, on a known parent reads. Nothing is kept."""
    parent = context.header(parent_hash)
    if parent is None:
        raise RpcError(SERVER_ERROR, "parent block not found")
    context.engine.builder.validate(attributes)
    deadline = context.request_time.deadline(math.inf)
    return show_witness(context.engine.witnesses.of_attributes(context.executor, parent, attributes, deadline))


# ---- traces ---------------------------------------------------------------------------------------------------------


def trace_transaction(context: Context, tx_hash: Hash32, options: dict[str, Any] | None) -> Written:
    """Run a mined transaction again."""
    mined = context.mined(tx_hash)
    if mined is None:
        raise RpcError(SERVER_ERROR, "transaction not found")
    block, index = mined
    return Written(lambda text: _trace(context, block, options or {}, text, index))


def trace_block(context: Context, reference: Hash32 | BlockTag, options: dict[str, Any] | None) -> Written:
    """Run all transactions of a block again."""
    block = context.block(reference)
    if block is None:
        raise _not_found(reference)
    return Written(lambda text: _trace(context, block, options or {}, text))


def _not_found(reference: BlockReference) -> RpcError:
    return RpcError(SERVER_ERROR, f"block {'0x' + reference.hex() if isinstance(reference, bytes) else f'#{reference}'} not found")


def trace_raw_block(context: Context, raw: bytes, options: dict[str, Any] | None) -> Written:
    """Run the transactions of a block given as RLP, on the state of its parent."""
    try:
        block = decode_block(raw)
    except DecodeError as error:
        raise RpcError(SERVER_ERROR, f"could not decode block: {error}") from None
    return Written(lambda text: _trace(context, block, options or {}, text))


def _trace(context: Context, block: Block, options: dict[str, Any], text: JsonText, only: int | None = None) -> None:
    """Write the traces of a block's transactions, or the one of the transaction at index `only`."""
    if block.number == 0:
        raise RpcError(SERVER_ERROR, "genesis is not traceable")
    _, execution = _begin(context, block)
    deadline = _deadline(context, options)
    logs_before = 0
    for index, raw in enumerate(block.transactions if only is None else block.transactions[: only + 1]):
        if only is not None and index < only:
            logs_before += len(_apply(execution, raw, deadline, None))
            continue
        if only is None:
            text.write((b"," if index else b"[") + f'{{"txHash":"0x{keccak(raw).hex()}","result":'.encode())
        tracer = _make(options, text, _place(block, index), logs_before)
        logs_before += len(_apply(execution, raw, deadline, tracer))
        tracer.finish(text)
        if only is None:
            text.write(b"}")
    if only is None:
        text.write(b"]" if block.transactions else b"[]")


def _begin(context: Context, block: Block) -> tuple[StateView, BlockExecution]:
    """A block about to run again, and the state before it."""
    parent = context.header_or_error(block.header.parent_hash)
    try:
        env = block_env(context.config, block, parent)
    except InvalidBlock as error:
        raise RpcError(SERVER_ERROR, f"tracing failed: {error}") from None
    context.executor.prepare(env, None, None, traced=True)
    view = context.view(parent)
    return view, context.executor.begin(view, env)


def _place(block: Block, index: int) -> dict[str, Any]:
    """Where a transaction is, as flatCallTracer shows it."""
    return {
        "blockHash": "0x" + block.hash.hex(),
        "blockNumber": block.number,
        "transactionHash": "0x" + keccak(block.transactions[index]).hex(),
        "transactionPosition": index,
    }


def _apply(execution: BlockExecution, raw: bytes, deadline: Deadline, tracer: tracers.NoopTracer | None) -> tuple[Any, ...]:
    with _failures():
        return execution.apply(raw, None, deadline, tracer).receipt.logs


def trace_call(context: Context, args: dict[str, Any], reference: BlockReference, options: dict[str, Any] | None) -> Written:
    """Run a message on the state of a block, as eth_call does."""
    options = options or {}
    header = context.header(reference)
    if header is None:
        raise _not_found(reference)
    message = to_call(args, context.config.chain_id, context.settings.gas_cap)
    env = context.environment(header, options.get("blockOverrides"))
    overrides = options.get("stateOverrides")
    context.executor.prepare(env, message, overrides, traced=True)

    def write(text: JsonText) -> None:
        tracer, deadline = _make(options, text, None, 0), _deadline(context, options)
        with _failures():
            view = _view_before(context, header, options["txIndex"], deadline) if "txIndex" in options else context.view(header)
            context.executor.call(view, env, message, overrides, deadline, tracer)
        tracer.finish(text)

    return Written(write)


def _view_before(context: Context, header: Header, index: int, deadline: Deadline) -> StateView:
    """The state just before a block's transaction, for which those before it run again."""
    block = context.blocks.block(header.hash)
    if block is None or block.number == 0:
        raise RpcError(SERVER_ERROR, "no transaction in genesis")
    if index and index >= len(block.transactions):
        raise RpcError(SERVER_ERROR, f"transaction index {index} out of range for block 0x{block.hash.hex()}")
    view, execution = _begin(context, block)
    for raw in block.transactions[:index]:
        execution.apply(raw, None, deadline)
    return ChangedView(view, execution.diff())


@contextmanager
def _failures() -> Iterator[None]:
    """The errors of a trace, in geth's words."""
    try:
        yield
    except ExecutionTimeout:
        raise RpcError(SERVER_ERROR, "execution timeout") from None
    except InvalidTransaction as error:
        raise RpcError(SERVER_ERROR, f"tracing failed: {error}") from None


def _make(options: dict[str, Any], text: JsonText, place: dict[str, Any] | None, logs_before: int) -> tracers.NoopTracer:
    try:
        return tracers.make(options, text, place, logs_before)
    except InvalidParams as error:
        raise RpcError(SERVER_ERROR, str(error)) from None


def _deadline(context: Context, options: dict[str, Any]) -> Deadline:
    """When the trace must end, from the option `timeout` in Go's form ("5s", "1m30s")."""
    text = options.get("timeout")
    if not text:
        return context.request_time.deadline(TRACE_TIMEOUT_SECONDS)
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise RpcError(SERVER_ERROR, f'time: invalid duration "{text}"') from None
    return context.request_time.deadline(min(seconds, 10 * TRACE_TIMEOUT_SECONDS))


METHODS = {
    "debug_getRawHeader": method(get_raw_header, block_reference),
    "debug_getRawBlock": method(get_raw_block, block_reference, runs_on=RunsOn.READ),
    "debug_getRawReceipts": method(get_raw_receipts, block_reference, runs_on=RunsOn.READ),
    "debug_getRawTransaction": method(get_raw_transaction, hash32),
    "debug_executionWitness": method(execution_witness, block_reference, runs_on=RunsOn.CALL),
    "debug_executePayload": method(execute_payload, hash32, payload_attributes, runs_on=RunsOn.CALL),
    "debug_traceTransaction": method(trace_transaction, hash32, trace_options, runs_on=RunsOn.TRACE),
    "debug_traceBlockByNumber": method(trace_block, block_tag, trace_options, runs_on=RunsOn.TRACE),
    "debug_traceBlockByHash": method(trace_block, hash32, trace_options, runs_on=RunsOn.TRACE),
    "debug_traceBlock": method(trace_raw_block, data, trace_options, runs_on=RunsOn.TRACE),
    "debug_traceCall": method(trace_call, transaction_args, or_latest, trace_call_options, runs_on=RunsOn.TRACE),
}
