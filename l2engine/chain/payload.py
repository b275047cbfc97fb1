"""Execution payloads as blocks, and the identity and first draft of payloads being built.

Whatever makes a payload contradict itself is found here, before its parent is looked at: `InvalidPayload` is answered as
INVALID with latestValidHash null. Sources: execution-apis; OP specs, exec-engine.md; digest 4.3, 4.4 and section 0.
"""

import hashlib
from collections.abc import Sequence

from l2engine.errors import DecodeError, InvalidBlock, InvalidPayload
from l2engine.rules import blobs, eip1559
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import ExtraDataForm, Fork, L1Rules
from l2engine.rules.header import validate_extra_data
from l2engine.types import rlp
from l2engine.types.base import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, EMPTY_ROOT, Hash32
from l2engine.types.block import Block, Withdrawal
from l2engine.types.header import Header
from l2engine.types.native_functions import keccak_all, ordered_root
from l2engine.types.payload import ExecutionPayload, PayloadAttributes
from l2engine.types.transaction import BlobTransaction, PostExecutionTransaction, record_of
from l2engine.types.transaction_codec import decode_transaction
from l2engine.types.transactions import Transactions
from l2engine.types.trie_root import rlp_encode


def to_block(
    config: ChainConfig,
    fork: Fork,
    payload: ExecutionPayload,
    versioned_hashes: Sequence[Hash32] = (),
    parent_beacon_block_root: Hash32 | None = None,
    requests: Sequence[bytes] | None = None,
) -> Block:
    """The block that a payload describes, its hash checked; `fork` is in force in it. `InvalidPayload` names the first thing that is wrong."""
    transactions = payload.transactions if isinstance(payload.transactions, Transactions) else Transactions(payload.transactions)
    wrong = _first_undecodable(transactions)
    if wrong is not None:
        raise InvalidPayload(f"invalid transaction {wrong[0]}: {wrong[1]}") from wrong[1]
    if len(payload.extra_data) > 32:
        raise InvalidPayload(f"invalid extradata length: {len(payload.extra_data)}")
    if len(payload.logs_bloom) != 256:
        raise InvalidPayload(f"invalid logsBloom length: {len(payload.logs_bloom)}")
    blob_hashes = [h for raw in transactions.raws if raw[0] == BlobTransaction.type for h in decode_transaction(raw).blob_versioned_hashes]
    if blob_hashes != list(versioned_hashes):
        raise InvalidPayload(f"invalid number of versionedHashes: {len(versioned_hashes)} blobHashes: {len(blob_hashes)}")
    if not fork.has(L1Rules.CANCUN) and (payload.blob_gas_used is not None or payload.excess_blob_gas is not None):
        raise InvalidPayload("blob gas pre-cancun")  # a header without the fields before it would leave these out
    header = Header(
        parent_hash=payload.parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=payload.fee_recipient,
        state_root=payload.state_root,
        transactions_root=transactions.root,
        receipts_root=payload.receipts_root,
        logs_bloom=payload.logs_bloom,
        difficulty=0,
        number=payload.block_number,
        gas_limit=payload.gas_limit,
        gas_used=payload.gas_used,
        timestamp=payload.timestamp,
        extra_data=payload.extra_data,
        prev_randao=payload.prev_randao,
        nonce=bytes(8),
        base_fee_per_gas=payload.base_fee_per_gas,
        withdrawals_root=_withdrawals_root(fork, payload),
        blob_gas_used=payload.blob_gas_used,
        excess_blob_gas=payload.excess_blob_gas,
        parent_beacon_block_root=parent_beacon_block_root,
        requests_hash=requests_hash(fork, requests),
    )
    if header.hash != payload.block_hash:
        raise InvalidPayload(f"blockhash mismatch, want {payload.block_hash.hex()}, got {header.hash.hex()}")
    if fork.extra_data is not ExtraDataForm.FREE:
        try:
            validate_extra_data(config, fork, header)
        except InvalidBlock as error:
            raise InvalidPayload(str(error)) from error
    return Block(header, transactions, (), payload.withdrawals)


def _first_undecodable(transactions: Transactions) -> tuple[int, DecodeError] | None:
    """The first that keeps the payload from being a block. Bad bytes behind 0x7D do not: the block is judged, and then invalid, as one
    whose 0x7D breaks another rule (lagoon/post-exec.md)."""
    wrong = transactions.first_undecodable
    if wrong is None or record_of(transactions[wrong[0]]) is not PostExecutionTransaction:
        return wrong
    others = [index for index, raw in enumerate(transactions) if record_of(raw) is not PostExecutionTransaction]
    wrong = Transactions(transactions[index] for index in others).first_undecodable
    return None if wrong is None else (others[wrong[0]], wrong[1])


def from_block(config: ChainConfig, block: Block) -> ExecutionPayload:
    """The payload that carries a block."""
    header = block.header
    fork = config.fork_at(header.number, header.timestamp)
    return ExecutionPayload(
        parent_hash=header.parent_hash,
        fee_recipient=header.beneficiary,
        state_root=header.state_root,
        receipts_root=header.receipts_root,
        logs_bloom=header.logs_bloom,
        prev_randao=header.prev_randao,
        block_number=header.number,
        gas_limit=header.gas_limit,
        gas_used=header.gas_used,
        timestamp=header.timestamp,
        extra_data=header.extra_data,
        base_fee_per_gas=header.base_fee_per_gas or 0,
        block_hash=header.hash,
        transactions=block.transactions,
        withdrawals=block.withdrawals,
        blob_gas_used=header.blob_gas_used,
        excess_blob_gas=header.excess_blob_gas,
        withdrawals_root=header.withdrawals_root if fork.withdrawals_root_is_message_passer else None,
    )


def withdrawals_root(withdrawals: Sequence[Withdrawal]) -> Hash32:
    """The root of a body's withdrawals."""
    return ordered_root([rlp_encode(item.rlp_items()) for item in withdrawals]) if withdrawals else EMPTY_ROOT


def hash_requests(requests: Sequence[bytes]) -> Hash32:
    """sha256 over the sha256 of each request that has content (EIP-7685)."""
    return hashlib.sha256(b"".join(hashlib.sha256(item).digest() for item in requests if len(item) > 1)).digest()


def requests_hash(fork: Fork, requests: Sequence[bytes] | None) -> Hash32 | None:
    """The header's requestsHash; always the hash of nothing on OP chains, None before Prague."""
    if not fork.has(L1Rules.PRAGUE):
        return None
    return EMPTY_REQUESTS_HASH if fork.is_optimism else hash_requests(requests or ())


def _withdrawals_root(fork: Fork, payload: ExecutionPayload) -> Hash32 | None:
    if fork.withdrawals_root_is_message_passer:
        if payload.withdrawals_root is None:
            raise InvalidPayload("nil withdrawalsRoot post-Isthmus")
        if payload.withdrawals:
            raise InvalidPayload("non-empty withdrawals post-Isthmus")
        return payload.withdrawals_root
    if payload.withdrawals_root is not None:
        raise InvalidPayload("non-nil withdrawalsRoot pre-Isthmus")
    if payload.withdrawals is None:
        return None
    if fork.is_optimism and payload.withdrawals:
        raise InvalidPayload("non-empty withdrawals post-Canyon")
    return withdrawals_root(payload.withdrawals)


def payload_id(parent_hash: Hash32, attributes: PayloadAttributes, version: int) -> bytes:
    """The 8 bytes that name a payload under construction: op-geth's derivation, so that builders agree on it.

    Its first byte is the version of forkchoiceUpdated that asked for it. Source: digest section 0, "payload id".
    """
    a = attributes
    withdrawals = rlp.encode([item.rlp_items() for item in a.withdrawals or ()])
    parts = [parent_hash, _u64(a.timestamp), a.prev_randao, a.suggested_fee_recipient, withdrawals]
    if a.parent_beacon_block_root is not None:
        parts.append(a.parent_beacon_block_root)
    if a.slot_number is not None:
        parts.append(_u64(a.slot_number))
    if a.no_tx_pool or a.transactions:
        transactions = a.transactions or ()
        parts += [bytes([a.no_tx_pool]), _u64(len(transactions)), *keccak_all(transactions)]
    if a.gas_limit is not None:
        parts.append(_u64(a.gas_limit))
    if a.eip_1559_params:
        parts.append(a.eip_1559_params)
    if a.min_base_fee is not None:
        parts.append(_u64(a.min_base_fee))
    return bytes([version]) + hashlib.sha256(b"".join(parts)).digest()[1:8]


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def draft_block(config: ChainConfig, parent: Header, attributes: PayloadAttributes) -> Block:
    """The block of these attributes without the pool, before anything has run: `seal` completes its header. `UnknownFork` when this
    build has no rules for it."""
    number = parent.number + 1
    config.require_known(number, attributes.timestamp)
    fork = config.fork_at(number, attributes.timestamp)
    cancun = fork.has(L1Rules.CANCUN)
    header = Header(
        parent_hash=parent.hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=attributes.suggested_fee_recipient,
        state_root=EMPTY_ROOT,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=0,
        number=number,
        gas_limit=parent.gas_limit if attributes.gas_limit is None else attributes.gas_limit,
        gas_used=0,
        timestamp=attributes.timestamp,
        extra_data=eip1559.encode_extra_data(config, fork, attributes.eip_1559_params, attributes.min_base_fee),
        prev_randao=attributes.prev_randao,
        nonce=bytes(8),
        base_fee_per_gas=eip1559.base_fee(config, fork, parent),
        withdrawals_root=EMPTY_ROOT if fork.has(L1Rules.SHANGHAI) else None,
        blob_gas_used=0 if cancun else None,
        excess_blob_gas=blobs.excess_blob_gas(config, fork, parent) if cancun else None,
        parent_beacon_block_root=attributes.parent_beacon_block_root if cancun else None,
        requests_hash=EMPTY_REQUESTS_HASH if fork.has(L1Rules.PRAGUE) else None,
    )
    return Block(header, attributes.transactions or Transactions(), (), attributes.withdrawals)
