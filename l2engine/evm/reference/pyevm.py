"""py-evm's State and Computation over our account database, one pair of classes per fork row.

We keep py-evm's opcode logic and gas costs. Everything around them is leaner code: messages without validation, stacks
of integers, a loop without logging, children that are folded into their parent when they end. A frame's failure is a
`VMError` of py-evm; anything else that is raised is a bug, or the deadline.
"""

import sys
import time
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

from eth.constants import STACK_DEPTH_LIMIT
from eth.exceptions import FullStack, Halt, InsufficientFunds, OutOfGas, StackDepthLimit, VMError
from eth.vm.code_stream import CodeStream
from eth.vm.computation import BaseComputation
from eth.vm.gas_meter import GasMeter, RefundStrategy, allow_negative_refund_strategy
from eth.vm.logic.invalid import InvalidOpcode
from eth.vm.memory import Memory
from eth.vm.stack import Stack
from eth_utils import get_extended_debug_logger

from l2engine.errors import ExecutionTimeout
from l2engine.evm import opcodes
from l2engine.evm.reference import opcode_table
from l2engine.evm.reference.accounts import AccountDatabase
from l2engine.evm.reference.precompiles import precompiles
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import MAX_UINT64, Address, BlockNumber, Gas, Hash32, Wei
from l2engine.types.environment import BlockEnv
from l2engine.types.receipt import Log
from l2engine.types.state import StateView

# A frame of the EVM takes about nine of Python, more under a tracer; 1,024 may be open at once.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 1024 * 24))

_QUIET = get_extended_debug_logger("l2engine.evm")  # opcodes ask it whether to log; py-evm looks it up at each question
_CODE_DEPOSIT_GAS = 200
_CREATE_TO: Address = b""  # py-evm's `to` of a message that creates a contract


class Message:
    """One call or creation, as py-evm's opcodes read it."""

    __slots__ = (
        "code", "code_address", "data", "data_as_bytes", "depth", "gas", "is_create", "is_delegation", "is_static", "refund",
        "sender", "should_transfer_value", "storage_address", "to", "value",
    )  # fmt: skip

    def __init__(
        self,
        gas: Gas,
        to: Address,
        sender: Address,
        value: Wei,
        data: bytes,
        code: bytes,
        depth: int = 0,
        create_address: Address | None = None,
        code_address: Address | None = None,
        should_transfer_value: bool = True,
        is_static: bool = False,
        is_delegation: bool = False,
    ) -> None:
        self.gas, self.to, self.sender, self.value, self.code, self.depth = gas, to, sender, value, code, depth
        self.data = self.data_as_bytes = data
        self.is_create = to == _CREATE_TO
        self.storage_address = to if create_address is None else create_address
        self.code_address = to if code_address is None else code_address
        self.should_transfer_value, self.is_static, self.is_delegation = should_transfer_value, is_static, is_delegation
        self.refund = 0


class TransactionContext:
    """Values that are the same for all frames of one transaction."""

    __slots__ = ("blob_versioned_hashes", "gas_price", "origin")

    def __init__(self, origin: Address, gas_price: Wei, blob_versioned_hashes: tuple[Hash32, ...] = ()) -> None:
        self.origin, self.gas_price, self.blob_versioned_hashes = origin, gas_price, blob_versioned_hashes


class BlockContext:
    """Values that are the same for all transactions of one block, as py-evm's opcodes read them."""

    def __init__(self, env: BlockEnv, chain_id: int, base_fee_per_gas: Wei, blob_base_fee: Wei) -> None:
        self.coinbase, self.timestamp, self.block_number = env.beneficiary, env.timestamp, env.number
        self.difficulty, self.mix_hash, self.gas_limit = env.difficulty, env.prev_randao, env.gas_limit
        self.chain_id, self.base_fee_per_gas, self.blob_base_fee = chain_id, base_fee_per_gas, blob_base_fee


@lru_cache(maxsize=512)
def _analyse(code: bytes) -> tuple[bytes, frozenset[int]]:
    """The code followed by zeros (STOP), so that running or pushing past its end needs no check; and where jumps may land."""
    destinations = []
    position, size = 0, len(code)
    while position < size:
        opcode = code[position]
        if opcode == 0x5B:
            destinations.append(position)
        position += opcode - 0x5E if 0x60 <= opcode <= 0x7F else 1
    return code + bytes(34), frozenset(destinations)


class _Code(CodeStream):
    def __init__(self, code: bytes) -> None:
        self.program_counter = 0
        self._raw_code_bytes = code
        self._length_cache = len(code)
        self.padded, self.jump_destinations = _analyse(code)

    def is_valid_opcode(self, position: int) -> bool:
        """Whether a JUMPDEST at this position may be jumped to."""
        return position in self.jump_destinations


class _IntegerStack(Stack):
    """A stack that holds only integers, whatever form they come in."""

    __slots__ = ()

    def push_int(self, value: int) -> None:
        if len(self.values) > 1023:
            raise FullStack(opcode_table.STACK_LIMIT_REACHED)
        self._append(value)

    def push_bytes(self, value: bytes) -> None:
        self.push_int(int.from_bytes(value, "big"))

    def pop1_int(self) -> int:
        value: int = self.pop1_any()
        return value

    def pop_ints(self, num_items: int) -> tuple[int, ...]:
        items: tuple[int, ...] = self.pop_any(num_items)
        return items


class _LeanGasMeter(GasMeter):
    def __init__(self, start_gas: Gas, refund_strategy: RefundStrategy = allow_negative_refund_strategy) -> None:
        self.refund_strategy = refund_strategy
        self.start_gas = self.gas_remaining = start_gas
        self.gas_refunded = 0

    def consume_gas(self, amount: Gas, reason: str) -> None:
        if amount > self.gas_remaining:
            raise OutOfGas(f"Out of gas: Needed {amount} - Remaining {self.gas_remaining} - Reason: {reason}")
        self.gas_remaining -= amount

    def return_gas(self, amount: Gas) -> None:
        self.gas_remaining += amount

    def refund_gas(self, amount: int) -> None:
        self.gas_refunded += amount


class LeanComputation(BaseComputation):
    """One frame: comes before a fork's computation class of py-evm, from which the opcodes and code checks come."""

    fork: Fork
    logger = _QUIET

    def __init__(self, state: Any, message: Message, transaction_context: TransactionContext) -> None:
        self.state, self.msg, self.transaction_context = state, message, transaction_context
        self.code = _Code(message.code)
        self._gas_meter = self._configure_gas_meter()
        self._stack, self._memory = _IntegerStack(), Memory()
        self._log_entries: list[Log] = []
        self.accounts_to_delete: dict[Address, bool] = {}
        self.beneficiaries: list[Address] = []
        self.contracts_created = state.contracts_created

    def _configure_gas_meter(self) -> GasMeter:
        return _LeanGasMeter(self.msg.gas)

    # ---- frames -----------------------------------------------------------------------------------------------------

    @classmethod
    def apply_message(
        cls, state: Any, message: Message, transaction_context: TransactionContext, parent_computation: Any = None
    ) -> "LeanComputation":
        """Transfer the value and run the code; a frame that fails leaves no trace."""
        accounts = state.accounts
        checkpoint = accounts.record()
        if message.depth > STACK_DEPTH_LIMIT:
            raise StackDepthLimit("Stack depth limit reached")
        if message.value and message.should_transfer_value:
            if accounts.get_balance(message.sender) < message.value:
                raise InsufficientFunds("Insufficient funds")
            accounts.delta_balance(message.sender, -message.value)
            accounts.delta_balance(message.storage_address, message.value)
        else:
            accounts.touch_account(message.storage_address)
        computation = cls.apply_computation(state, message, transaction_context, parent_computation)
        if computation._error is not None:
            accounts.discard(checkpoint)
        return computation

    @classmethod
    def apply_create_message(
        cls, state: Any, message: Message, transaction_context: TransactionContext, parent_computation: Any = None
    ) -> "LeanComputation":
        """Run the init code at an address without code and nonce, and store what it returns as code."""
        accounts, address = state.accounts, message.storage_address
        checkpoint = accounts.record()
        state.contracts_created.add(address)
        if cls.fork.has(L1Rules.SPURIOUS_DRAGON):
            accounts.set_nonce(address, 1)
            cls.validate_create_message(message)
        computation = cls.apply_message(state, message, transaction_context, parent_computation)
        if computation._error is not None:
            accounts.discard(checkpoint)
            return computation
        code = computation._output
        if code:
            try:
                if cls.fork.has(L1Rules.SPURIOUS_DRAGON):
                    cls.validate_contract_code(code)
                computation.consume_gas(_CODE_DEPOSIT_GAS * len(code), "Write contract code for CREATE")
            except VMError as error:
                if cls.fork.has(L1Rules.HOMESTEAD):
                    computation._fail(error)
                    accounts.discard(checkpoint)
                else:
                    computation.output = b""  # Frontier kept the contract, without code
            else:
                accounts.set_code(address, code)
        return computation

    @classmethod
    def apply_computation(
        cls, state: Any, message: Message, transaction_context: TransactionContext, parent_computation: Any = None
    ) -> "LeanComputation":
        """Run the frame's precompile or code to its end."""
        computation = cls(state, message, transaction_context)
        try:
            precompile = state.precompiles.get(message.code_address)
            if precompile is not None:
                state.check_deadline()
                if not message.is_delegation:
                    precompile(computation)
            elif message.code:
                state.check_deadline()
                table = _dispatch_table(cls)
                code = computation.code
                padded = code.padded
                while True:
                    position = code.program_counter
                    code.program_counter = position + 1
                    table[padded[position]](computation)
        except Halt:
            pass
        except VMError as error:
            computation._fail(error)
        except IndexError as error:  # what a list too short says, so that opcodes need not look first
            height, opcode = len(computation._stack.values), computation.code[computation.code.program_counter - 1]
            if height >= opcodes.POPS[opcode]:
                raise
            computation._fail(opcode_table.underflow(height, opcode).with_traceback(error.__traceback__))
        return computation

    def _fail(self, error: VMError) -> None:
        self._error = error
        if error.burns_gas:
            self._gas_meter.gas_remaining = 0
        if error.erases_return_data:
            self.return_data = b""

    def prepare_child_message(self, gas: Gas, to: Address, value: Wei, data: bytes, code: bytes, **kwargs: Any) -> Message:
        kwargs.setdefault("sender", self.msg.storage_address)
        return Message(gas=gas, to=to, value=value, data=data, code=code, depth=self.msg.depth + 1, **kwargs)

    def add_child_computation(self, child: "LeanComputation") -> None:
        """Merge a finished child frame's results into this frame, so that the child need not be kept."""
        if child._error is not None:
            self.return_data = child.output
            return
        self.return_data = b"" if child.msg.is_create else child._output
        self._log_entries += child._log_entries
        self._gas_meter.gas_refunded += child._gas_meter.gas_refunded
        self.accounts_to_delete.update(child.accounts_to_delete)

    # ---- what opcodes leave behind ----------------------------------------------------------------------------------

    def register_account_for_deletion(self, beneficiary: Address) -> None:
        self.accounts_to_delete[self.msg.storage_address] = True

    def add_log_entry(self, account: Address, topics: tuple[int, ...], data: bytes) -> None:
        self._log_entries.append(Log(account, tuple(topic.to_bytes(32, "big") for topic in topics), data))

    @property
    def logs(self) -> list[Log]:
        """The events of this frame and its children, in order; none when it failed."""
        return [] if self._error is not None else self._log_entries

    @property
    def gas_refund(self) -> Gas:
        """Gas that the frame adds to the refund counter; may be negative within a transaction."""
        return 0 if self._error is not None else self._gas_meter.gas_refunded

    @property
    def precompiles(self) -> Any:
        return self.state.precompiles


def _dispatch_table(computation_class: Any) -> list[Any]:
    """The class's opcodes by number, 256 entries, made once for each class."""
    table: list[Any] | None = computation_class.__dict__.get("_dispatch")
    if table is None:
        table = computation_class._dispatch = _make_table(computation_class)
    return table


def _make_table(computation_class: Any) -> list[Any]:
    return [computation_class.opcodes.get(opcode) or InvalidOpcode(opcode) for opcode in range(256)]


class LeanState:
    """One block's state: comes before a fork's State class of py-evm. Account and storage access are bound straight to
    the account database, without a method in between."""

    computation_class: Any
    fork: Fork
    logger = _QUIET

    def __init__(self, view: StateView, context: BlockContext) -> None:
        self.execution_context = context
        self.accounts = self._account_db = accounts = AccountDatabase(view)
        self._view = view
        self.precompiles = precompiles_of(self.fork)
        self.contracts_created: set[Address] = set()
        self.deadline: float | None = None
        for name in _ACCOUNT_METHODS:
            setattr(self, name, getattr(accounts, name))
        self.has_code_or_nonce = accounts.account_has_code_or_nonce
        self.snapshot, self.revert, self.commit = accounts.record, accounts.discard, accounts.commit

    @property
    def blob_base_fee(self) -> Wei:
        return self.execution_context.blob_base_fee

    def get_ancestor_hash(self, block_number: BlockNumber) -> Hash32:
        current = self.execution_context.block_number
        if not max(0, current - 256) <= block_number < min(current, MAX_UINT64 >> 1):  # overrides may go beyond any real number
            return b""
        return self._view.block_hash(block_number) or b""

    def delete_storage(self, address: Address) -> None:
        """py-evm asks for it where a contract is created; no account with storage comes that far (EIP-7610)."""

    def check_deadline(self) -> None:
        """`ExecutionTimeout` past the deadline. Asked at each JUMPDEST, which every loop passes, each KECCAK256, and each frame."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise ExecutionTimeout("execution aborted (timeout)")


_ACCOUNT_METHODS = (
    "account_exists", "account_is_empty", "delete_account", "delete_code", "delta_balance", "get_balance",
    "get_code", "get_code_hash", "get_nonce", "get_storage", "get_transient_storage", "increment_nonce", "is_address_warm",
    "is_storage_warm", "lock_changes", "mark_address_warm", "mark_storage_warm", "set_balance", "set_code", "set_nonce",
    "set_storage", "set_transient_storage", "touch_account",
)  # fmt: skip


def state_class(fork: Fork) -> Any:
    """The State class for a fork row (`IsthmusState`, …). Rows that differ only in what frames do not see share one."""
    return _classes(_FrameRules(fork))[0]


def precompiles_of(fork: Fork) -> dict[Address, Any]:
    """The fork's precompiles by address."""
    return _classes(_FrameRules(fork))[1]


class _FrameRules:
    """A fork row as a key: equal when frames run alike. Tests make a new row for each case, so the row itself is no key."""

    def __init__(self, fork: Fork) -> None:
        self.fork = fork
        self._key = (fork.name, fork.l1, fork.p256_verify_gas, tuple(sorted(fork.precompile_input_limits.items())))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _FrameRules) and self._key == other._key


@cache
def _classes(rules: _FrameRules) -> tuple[Any, dict[Address, Any]]:
    fork = rules.fork
    # py-evm has no Osaka; what it lacks comes with the opcode table and the precompiles.
    base_name = "prague" if fork.l1 is L1Rules.OSAKA else fork.l1.value
    prefix, name = _camel_case(base_name), _camel_case(fork.name)
    computation_base = getattr(import_module(f"eth.vm.forks.{base_name}.computation"), f"{prefix}Computation")
    state_base = getattr(import_module(f"eth.vm.forks.{base_name}.state"), f"{prefix}State")
    table = opcode_table.metered(computation_base.opcodes, fork)
    computation = type(
        f"{name}Computation",
        (LeanComputation, computation_base),
        {"fork": fork, "opcodes": opcode_table.fast(table, fork), "metered_opcodes": table},
    )
    state = type(f"{name}State", (LeanState, state_base), {"fork": fork, "computation_class": computation})
    return state, precompiles(fork)


def _camel_case(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
