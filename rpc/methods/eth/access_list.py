"""eth_createAccessList: run a message until it touches no accounts and slots beyond those that it declares (EIP-2930)."""

from dataclasses import replace
from typing import Any

from l2engine.errors import ExecutionTimeout, InvalidTransaction
from l2engine.evm.opcodes import ACCOUNT_OPCODES, CALL_OPCODES, SLOT_OPCODES, stack_address
from l2engine.evm.tracers.base import NoopTracer
from l2engine.types.base import Address, Hash32, keccak
from l2engine.types.execution import Call
from l2engine.types.header import Header
from l2engine.types.tracing import TracedFrame, TracedTransaction
from l2engine.types.transaction import AccessList, FeeMarketTransaction, LegacyTransaction, SignedTransaction
from l2engine.types.transaction_codec import encode_transaction
from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import RunsOn, method
from rpc.methods.eth.fees import suggested_tip
from rpc.read.blocks import BlockReference, or_latest
from rpc.read.calls import Overrides, state_override, to_call, transaction_args
from rpc.read.values import Optional
from rpc.show.transactions import show_access_list


def create_access_list(context: Context, args: dict[str, Any], block: BlockReference, overrides: Overrides | None) -> dict[str, Any]:
    """The access list with which a message costs what it then costs, and that cost."""
    header = context.header_or_error(block, unset="{label} block not found")
    args = _with_fees(context, args, header)
    message = to_call(args, context.config.chain_id, context.settings.gas_cap)
    view, env = context.view(header), context.environment(header)
    account = view.account(message.sender)
    nonce = args.get("nonce", account.nonce if account is not None else 0)
    deadline = context.deadline(env, message, overrides, traced=True)
    while True:  # each round adds to the list, which the gas bounds
        tracer = _Touched(message.sender, message.access_list)
        try:
            result = context.executor.call(view, env, message, overrides, deadline, tracer)
        except ExecutionTimeout:
            raise RpcError(SERVER_ERROR, f"execution aborted (timeout = {context.settings.evm_timeout_seconds:g}s)") from None
        except InvalidTransaction as error:
            tx_hash = _transaction_hash(context.config.chain_id, message, nonce, legacy="gasPrice" in args)
            raise RpcError(SERVER_ERROR, f"failed to apply transaction: 0x{tx_hash.hex()} err: {error}") from None
        touched = tracer.access_list()
        if touched == message.access_list:
            answer: dict[str, Any] = {"accessList": show_access_list(touched), "gasUsed": hex(result.gas_used)}
            if result.failure is not None:
                answer["error"] = result.failure.text
            return answer
        message = replace(message, access_list=touched)


def _with_fees(context: Context, args: dict[str, Any], header: Header) -> dict[str, Any]:
    """The arguments with the prices that geth would send the transaction at."""
    if "gasPrice" in args:
        if "maxFeePerGas" in args or "maxPriorityFeePerGas" in args:
            raise RpcError(SERVER_ERROR, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
        return args
    tip = args["maxPriorityFeePerGas"] if "maxPriorityFeePerGas" in args else suggested_tip(context)
    highest = args.get("maxFeePerGas", tip + 2 * (header.base_fee_per_gas or 0))
    if highest < tip:
        raise RpcError(SERVER_ERROR, f"maxFeePerGas ({hex(highest)}) < maxPriorityFeePerGas ({hex(tip)})")
    return {**args, "maxPriorityFeePerGas": tip, "maxFeePerGas": highest}


class _Touched(NoopTracer):
    """Notes the accounts and slots of a run that an access list can make cheaper, beside those declared already."""

    steps = SLOT_OPCODES | ACCOUNT_OPCODES | CALL_OPCODES

    def __init__(self, sender: Address, declared: AccessList) -> None:
        self._free: set[Address] = {sender}
        self._declared = declared
        self._slots: dict[Address, set[int]] = {}

    def begin(self, transaction: TracedTransaction) -> None:
        super().begin(transaction)
        self._free |= {transaction.to, *transaction.precompiles, *transaction.authorities}
        for who, keys in self._declared:
            if keys or who not in self._free:
                self._slots.setdefault(who, set()).update(int.from_bytes(key, "big") for key in keys)

    def step(self, frame: TracedFrame, pc: int, opcode: int) -> None:
        stack = frame.stack
        if opcode in SLOT_OPCODES and stack:
            self._slots.setdefault(frame.address, set()).add(stack[-1])
        elif opcode in ACCOUNT_OPCODES and stack:
            self._touch(stack[-1])
        elif opcode in CALL_OPCODES and len(stack) >= 5:
            self._touch(stack[-2])

    def _touch(self, item: int) -> None:
        who = stack_address(item)
        if who not in self._free:
            self._slots.setdefault(who, set())

    def access_list(self) -> AccessList:
        """The touched accounts and slots, in order."""
        return tuple((who, tuple(slot.to_bytes(32, "big") for slot in sorted(slots))) for who, slots in sorted(self._slots.items()))


def _transaction_hash(chain_id: int, message: Call, nonce: int, legacy: bool) -> Hash32:
    """The hash of the unsigned transaction that the message would be, by which geth names it in errors: of type 0 when a
    gas price was given, else of type 2."""
    if legacy:
        tx: SignedTransaction = LegacyTransaction(nonce, message.gas_price, message.gas, message.to, message.value, message.data, v=0)
    else:
        prices = message.max_priority_fee_per_gas or 0, message.max_fee_per_gas or 0
        tx = FeeMarketTransaction(chain_id, nonce, *prices, message.gas, message.to, message.value, message.data, message.access_list)
    return keccak(encode_transaction(tx))


METHODS = {
    "eth_createAccessList": method(create_access_list, transaction_args, or_latest, Optional(state_override), runs_on=RunsOn.CALL),
}
