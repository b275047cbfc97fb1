"""One block over the state of its parent: validate, execute, compare. Writes nothing, so replay, tests and the builder
use it as well as the engine.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from l2engine.chain.payload import hash_requests, withdrawals_root
from l2engine.chain.stages import Stages
from l2engine.errors import DecodeError, InvalidBlock, InvalidTransaction, RootMismatch
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.refusals import Reason
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.rules.header import validate_header
from l2engine.rules.l1_attributes import Format, deposit_format
from l2engine.rules.post_execution import gas_refunds
from l2engine.rules.predeploys import L2_TO_L1_MESSAGE_PASSER
from l2engine.types.base import EMPTY_REQUESTS_HASH, MAX_UINT256, keccak
from l2engine.types.block import Block
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import BlockResult
from l2engine.types.header import Header, ommers_hash
from l2engine.types.receipt import Receipt
from l2engine.types.storage import PreparedState, StateStore
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import DEPOSIT_TYPE, BlobTransaction
from l2engine.types.transactions import Transactions


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """A block that is valid, with all that keeping it needs."""

    block: Block
    receipts: Sequence[Receipt]
    state: PreparedState
    built_in: float = 0.0
    """Seconds that building it took here; 0 for a block that came from elsewhere."""


def process_block(
    config: ChainConfig,
    executor: Executor,
    state: StateStore,
    parent: Header,
    block: Block,
    tracer: Tracer | None = None,
    fork: Fork | None = None,
    stages: Stages | None = None,
) -> ExecutedBlock:
    """Execute `block` on the state after `parent`, which the store must have; `fork` is the one in force, if it is known already.
    `InvalidBlock` says what is wrong with the block, `UnknownFork` that it cannot be judged by this build. `stages` learns how long
    each stage took."""
    stages = stages or Stages()
    header = block.header
    config.require_known(header.number, header.timestamp)
    fork = fork or config.fork_at(header.number, header.timestamp)
    validate_header(config, fork, header, parent)
    validate_body(fork, block)
    stages.end("validate")
    execution = executor.begin(
        state.view(parent.hash),
        block_env(config, block, parent, fork),
        lambda diff: state.prepare(parent.hash, diff).root,
        fork,
    )
    failed = apply_all(execution, block.transactions, tracer)
    if failed is not None:
        index, error = failed
        raise InvalidBlock(f"could not apply tx {index} [0x{keccak(block.transactions[index]).hex()}]: {error}") from error
    result = execution.finish()
    stages.end("execute")
    prepared = state.prepare(parent.hash, result.diff)
    _compare(header, seal(header, fork, block, result, prepared, state))
    stages.end("roots")
    return ExecutedBlock(block, result.receipts, prepared)


def apply_all(execution: BlockExecution, transactions: Transactions, tracer: Tracer | None = None) -> tuple[int, Exception] | None:
    """Execute transactions until one is refused: its index and the reason; None when all ran."""
    if tracer is None:
        return execution.apply_all(transactions)
    for index, raw in enumerate(transactions):
        try:
            execution.apply(raw, tracer=tracer)
        except (InvalidTransaction, DecodeError) as error:
            return index, error
    return None


def validate_body(fork: Fork, block: Block) -> None:
    """Check the body against its header, before anything runs."""
    header = block.header
    _equal("transaction root hash", header.transactions_root, block.transactions.root)
    if ommers_hash(block.ommers) != header.ommers_hash:
        raise InvalidBlock("uncle root hash mismatch")
    if fork.has(L1Rules.SHANGHAI):
        if block.withdrawals is None:
            raise InvalidBlock("missing withdrawals in block body")
        if not fork.withdrawals_root_is_message_passer:
            _equal("withdrawals root hash", header.withdrawals_root or b"", withdrawals_root(block.withdrawals))
        if fork.is_optimism and block.withdrawals:
            raise InvalidBlock("non-empty withdrawals in block body")
    elif block.withdrawals is not None:
        raise InvalidBlock("withdrawals present in block body")
    if fork.is_optimism:
        wrong = block.transactions.first_undecodable
        if wrong is not None:
            raise InvalidBlock(f"invalid transaction {wrong[0]}: {wrong[1]}") from wrong[1]
        if BlobTransaction.type not in fork.transaction_types and any(raw[0] == BlobTransaction.type for raw in block.transactions.raws):
            raise InvalidBlock("data blobs present in block body")
        for index, deposit in block.transactions.deposits:
            if deposit.mint > MAX_UINT256:
                raise InvalidBlock(f"could not apply tx {index} [0x{deposit.hash.hex()}]: {InvalidTransaction(Reason.MINT_OVERFLOWS)}")
        validate_l1_attributes(fork, block.transactions)


def validate_l1_attributes(fork: Fork, transactions: Transactions) -> None:
    """From Jovian on a block begins with an L1-attributes deposit in Jovian's form; in Isthmus's form, which belongs to the
    activation block, it may hold deposits only (the DA footprint then is 0). `InvalidBlock` otherwise."""
    if not fork.da_footprint:
        return
    form = deposit_format(transactions.first)
    if form is Format.ISTHMUS:
        if not all(raw[0] == DEPOSIT_TYPE for raw in transactions):
            raise InvalidBlock("unexpected non-deposit transactions in Jovian activation block")
    elif form is not Format.JOVIAN:
        raise InvalidBlock("missing L1 attributes deposit transaction")


def block_env(config: ChainConfig, block: Block, parent: Header, fork: Fork | None = None) -> BlockEnv:
    """The environment that all transactions of a block share. `InvalidBlock` when its post-execution transaction breaks a rule."""
    header = block.header
    try:
        refunds = gas_refunds(fork or config.fork_at(header.number, header.timestamp), header.number, block.transactions)
    except (InvalidTransaction, DecodeError) as error:
        raise InvalidBlock(str(error)) from error
    return replace(header_env(header, parent), withdrawals=block.withdrawals, ommers=block.ommers, refunds=refunds)


def header_env(header: Header, parent: Header) -> BlockEnv:
    """The environment as far as the header alone gives it: enough for calls."""
    return BlockEnv(
        number=header.number,
        timestamp=header.timestamp,
        gas_limit=header.gas_limit,
        beneficiary=header.beneficiary,
        prev_randao=header.prev_randao,
        base_fee_per_gas=header.base_fee_per_gas,
        parent=parent,
        parent_beacon_block_root=header.parent_beacon_block_root,
        excess_blob_gas=header.excess_blob_gas,
        difficulty=header.difficulty,
        extra_data=header.extra_data,
    )


def seal(header: Header, fork: Fork, block: Block, result: BlockResult, prepared: PreparedState, state: StateStore) -> Header:
    """`header` with everything that execution decides filled in."""
    withdrawals = header.withdrawals_root
    if fork.withdrawals_root_is_message_passer:
        withdrawals = state.storage_root(prepared, L2_TO_L1_MESSAGE_PASSER)
    elif fork.has(L1Rules.SHANGHAI):
        withdrawals = withdrawals_root(block.withdrawals or ())
    requests = None
    if fork.has(L1Rules.PRAGUE):
        requests = EMPTY_REQUESTS_HASH if fork.is_optimism else hash_requests(result.requests or ())
    return replace(
        header,
        state_root=prepared.root,
        transactions_root=block.transactions.root,
        receipts_root=result.receipts_root,
        logs_bloom=result.logs_bloom,
        gas_used=result.gas_used,
        withdrawals_root=withdrawals,
        blob_gas_used=result.blob_gas_used if fork.has(L1Rules.CANCUN) else None,
        requests_hash=requests,
    )


_COMPARED = (
    ("gas used", "gas_used"),
    ("bloom", "logs_bloom"),
    ("receipt root hash", "receipts_root"),
    ("requests hash", "requests_hash"),
    ("merkle root", "state_root"),
    ("withdrawals root", "withdrawals_root"),
    ("blobGasUsed", "blob_gas_used"),
)


def _compare(expected: Header, computed: Header) -> None:
    for name, field in _COMPARED:
        wanted, got = getattr(expected, field), getattr(computed, field)
        if wanted != got:
            raise RootMismatch(name, wanted, got)


def _equal(name: str, expected: object, got: object) -> None:
    if expected != got:
        raise RootMismatch(name, expected, got)
