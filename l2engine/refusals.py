"""The reasons for refusing a transaction, with geth's text for each.

Code compares reasons; the text is for people, and for wallets that compare it with geth's. The facts of a refusal are numbers, words
and addresses, named as in the text. Sources: go-ethereum's core/error.go, core/txpool/errors.go and core/txpool/validation.go.
"""

from collections.abc import Mapping
from enum import StrEnum


class Reason(StrEnum):
    """The reasons why a transaction cannot be included. The native core uses the same values."""

    # the envelope and its signature
    UNDECODABLE = "undecodable"
    TYPE_NOT_SUPPORTED = "type_not_supported"
    WRONG_CHAIN_ID = "wrong_chain_id"
    REPLAY_PROTECTED = "replay_protected"
    INVALID_SIGNATURE = "invalid_signature"
    RECOVERY_FAILED = "recovery_failed"
    # the sender
    NONCE_TOO_HIGH = "nonce_too_high"
    NONCE_TOO_LOW = "nonce_too_low"
    NONCE_MAX = "nonce_max"
    SENDER_HAS_CODE = "sender_has_code"
    # fees
    GAS_ABOVE_CAP = "gas_above_cap"
    TIP_ABOVE_FEE_CAP = "tip_above_fee_cap"
    FEE_CAP_TOO_LOW = "fee_cap_too_low"
    COST_OVERFLOWS = "cost_overflows"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    # blobs and delegations
    BLOBS_MISSING = "blobs_missing"
    BLOBS_CREATE = "blobs_create"
    TOO_MANY_BLOBS = "too_many_blobs"
    BLOB_HASH_VERSION = "blob_hash_version"
    BLOB_FEE_CAP_TOO_LOW = "blob_fee_cap_too_low"
    BLOB_GAS_LIMIT_REACHED = "blob_gas_limit_reached"
    AUTHORIZATIONS_MISSING = "authorizations_missing"
    AUTHORIZATIONS_CREATE = "authorizations_create"
    # gas
    GAS_LIMIT_REACHED = "gas_limit_reached"
    INTRINSIC_GAS_TOO_LOW = "intrinsic_gas_too_low"
    FLOOR_GAS_TOO_LOW = "floor_gas_too_low"
    INITCODE_TOO_LARGE = "initcode_too_large"
    # deposits
    SYSTEM_DEPOSIT = "system_deposit"
    MINT_OVERFLOWS = "mint_overflows"
    # gas refunds
    POST_EXECUTION_REPEATED = "post_execution_repeated"
    POST_EXECUTION_NOT_LAST = "post_execution_not_last"
    POST_EXECUTION_BLOCK_NUMBER = "post_execution_block_number"
    REFUNDS_MISSING = "refunds_missing"
    REFUND_OF_NOTHING = "refund_of_nothing"
    REFUNDS_NOT_INCREASING = "refunds_not_increasing"
    REFUND_TARGET_NOT_SIGNED = "refund_target_not_signed"
    REFUND_ABOVE_GAS_USED = "refund_above_gas_used"
    SETTLEMENT_UNDERFLOWS = "settlement_underflows"
    # the pool
    POOL_NOT_READY = "pool_not_ready"
    OVERSIZED = "oversized"
    TYPE_NOT_YET_SUPPORTED = "type_not_yet_supported"
    TYPE_NOT_ACCEPTED = "type_not_accepted"
    ALREADY_KNOWN = "already_known"
    ABOVE_BLOCK_GAS_LIMIT = "above_block_gas_limit"
    TIP_TOO_LOW = "tip_too_low"
    INSUFFICIENT_FUNDS_WITH_QUEUED = "insufficient_funds_with_queued"
    INSUFFICIENT_FUNDS_TO_REPLACE = "insufficient_funds_to_replace"
    REPLACEMENT_UNDERPRICED = "replacement_underpriced"
    ACCOUNT_QUEUE_FULL = "account_queue_full"
    UNDERPRICED = "underpriced"
    MESSAGES_BEFORE_LAGOON = "messages_before_lagoon"
    MESSAGES_INVALID = "messages_invalid"
    MESSAGES_DISPUTED = "messages_disputed"
    MESSAGES_UNCHECKED = "messages_unchecked"
    MESSAGES_FAILSAFE = "messages_failsafe"
    # over RPC
    FEE_ABOVE_CAP = "fee_above_cap"


Facts = Mapping[str, int | str | bytes]
"""Numbers, words, and addresses as 20 bytes."""

WORDS: Mapping[Reason, str] = {
    Reason.UNDECODABLE: "{why}",
    Reason.TYPE_NOT_SUPPORTED: "transaction type not supported",
    Reason.WRONG_CHAIN_ID: "invalid chain id for signer: have {have} want {want}",
    Reason.REPLAY_PROTECTED: "only replay-protected (EIP-155) transactions from Spurious Dragon on",
    Reason.INVALID_SIGNATURE: "invalid transaction v, r, s values",
    Reason.RECOVERY_FAILED: "recovery failed",
    Reason.NONCE_TOO_HIGH: "nonce too high: address {address}, tx: {tx} state: {state}",
    Reason.NONCE_TOO_LOW: "nonce too low: address {address}, tx: {tx} state: {state}",
    Reason.NONCE_MAX: "nonce has max value: address {address}, nonce: {nonce}",
    Reason.SENDER_HAS_CODE: "sender not an eoa: address {address}, len(code): {length}",
    Reason.GAS_ABOVE_CAP: "transaction gas limit too high (cap: {cap}, tx: {tx})",
    Reason.TIP_ABOVE_FEE_CAP: (
        "max priority fee per gas higher than max fee per gas: address {address}, maxPriorityFeePerGas: {tip}, maxFeePerGas: {fee_cap}"
    ),
    Reason.FEE_CAP_TOO_LOW: "max fee per gas less than block base fee: address {address}, maxFeePerGas: {fee_cap}, baseFee: {base_fee}",
    Reason.COST_OVERFLOWS: "insufficient funds for gas * price + value: address {address} required balance exceeds 256 bits",
    Reason.INSUFFICIENT_FUNDS: "insufficient funds for gas * price + value: address {address} have {have} want {want}",
    Reason.BLOBS_MISSING: "blob transaction missing blob hashes",
    Reason.BLOBS_CREATE: "blob transaction of type create",
    Reason.TOO_MANY_BLOBS: "blob transaction has too many blobs",
    Reason.BLOB_HASH_VERSION: "blob {index} has invalid hash version",
    Reason.BLOB_FEE_CAP_TOO_LOW: (
        "max fee per blob gas less than block blob gas fee: address {address} blobGasFeeCap: {fee_cap}, blobBaseFee: {base_fee}"
    ),
    Reason.BLOB_GAS_LIMIT_REACHED: "blob gas limit reached",
    Reason.AUTHORIZATIONS_MISSING: "EIP-7702 transaction with empty auth list (sender {address})",
    Reason.AUTHORIZATIONS_CREATE: "EIP-7702 transaction cannot be used to create contract (sender {address})",
    Reason.GAS_LIMIT_REACHED: "gas limit reached",
    Reason.INTRINSIC_GAS_TOO_LOW: "intrinsic gas too low: have {have}, want {want}",
    Reason.FLOOR_GAS_TOO_LOW: "insufficient gas for floor data gas cost: have {have}, want {want}",
    Reason.INITCODE_TOO_LARGE: "max initcode size exceeded: code size {size} limit {limit}",
    Reason.SYSTEM_DEPOSIT: "system tx not supported: address {address}",
    Reason.MINT_OVERFLOWS: "mint overflows the balance",
    Reason.POST_EXECUTION_REPEATED: "more than one post-execution transaction: at index {first} and {second}",
    Reason.POST_EXECUTION_NOT_LAST: "post-execution transaction at index {index} is not the block's last",
    Reason.POST_EXECUTION_BLOCK_NUMBER: "post-execution transaction is for block {have}, not for block {want}",
    Reason.REFUNDS_MISSING: "post-execution transaction without gas refunds",
    Reason.REFUND_OF_NOTHING: "gas refund of 0 for the transaction at index {index}",
    Reason.REFUNDS_NOT_INCREASING: "gas refunds not in increasing order: index {index} after {before}",
    Reason.REFUND_TARGET_NOT_SIGNED: "gas refund for index {index}, where the block has no signed transaction",
    Reason.REFUND_ABOVE_GAS_USED: "gas refund {refund} above the gas used {gas_used}",
    Reason.SETTLEMENT_UNDERFLOWS: "gas refund cannot be settled: address {address} has less than {delta} wei",
    Reason.POOL_NOT_READY: "the pool is not ready",
    Reason.OVERSIZED: "oversized data: transaction size {size}, limit {limit}",
    Reason.TYPE_NOT_YET_SUPPORTED: "transaction type not supported: type {type} rejected, pool not yet in {fork}",
    Reason.ALREADY_KNOWN: "already known",
    Reason.ABOVE_BLOCK_GAS_LIMIT: "exceeds block gas limit",
    Reason.TIP_TOO_LOW: "transaction gas price below minimum: gas tip cap {tip}, minimum needed {minimum}",
    Reason.INSUFFICIENT_FUNDS_WITH_QUEUED: (
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {overshot}"
    ),
    Reason.INSUFFICIENT_FUNDS_TO_REPLACE: (
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx bumped {bump}, overshot {overshot}"
    ),
    Reason.REPLACEMENT_UNDERPRICED: "replacement transaction underpriced",
    Reason.ACCOUNT_QUEUE_FULL: "account limit exceeded: too many queued transactions of this sender",
    Reason.UNDERPRICED: "transaction underpriced",
    Reason.MESSAGES_BEFORE_LAGOON: "transaction type not supported",
    Reason.MESSAGES_INVALID: "{why}",
    Reason.MESSAGES_DISPUTED: "interop filters disagree: {valid} valid, {invalid} invalid",
    Reason.MESSAGES_UNCHECKED: "interop messages cannot be checked: {answers} of {wanted} filters answered",
    Reason.MESSAGES_FAILSAFE: "interop failsafe is active",
    Reason.TYPE_NOT_ACCEPTED: "transaction type not supported: received type {type}",
    Reason.FEE_ABOVE_CAP: "tx fee ({fee} ether) exceeds the configured cap ({cap} ether)",
}
"""geth's text for a transaction in a block."""

POOL_WORDS: Mapping[Reason, str] = {
    **WORDS,
    Reason.WRONG_CHAIN_ID: "invalid sender: invalid chain id for signer: have {have} want {want}",
    Reason.INVALID_SIGNATURE: "invalid sender: invalid transaction v, r, s values",
    Reason.RECOVERY_FAILED: "invalid sender: recovery failed",
    Reason.REPLAY_PROTECTED: "only replay-protected (EIP-155) transactions allowed over RPC",
    Reason.NONCE_TOO_LOW: "nonce too low: next nonce {state}, tx nonce {tx}",
    Reason.NONCE_MAX: "nonce has max value",
    Reason.TIP_ABOVE_FEE_CAP: "max priority fee per gas higher than max fee per gas",
    Reason.FEE_CAP_TOO_LOW: "max fee per gas less than block base fee",
    Reason.COST_OVERFLOWS: "insufficient funds for gas * price + value: total tx cost overflow",
    Reason.INSUFFICIENT_FUNDS: "insufficient funds for gas * price + value: balance {have}, tx cost {want}, overshot {overshot}",
    Reason.AUTHORIZATIONS_MISSING: "set code tx must have at least one authorization tuple",
    Reason.INTRINSIC_GAS_TOO_LOW: "intrinsic gas too low: gas {have}, minimum needed {want}",
    Reason.FLOOR_GAS_TOO_LOW: "insufficient gas for floor data gas cost: gas {have}, minimum needed {want}",
}
"""geth's text where its pool words the same reason differently."""

assert WORDS.keys() == set(Reason)


def in_words(reason: Reason, facts: Facts, table: Mapping[Reason, str] = WORDS) -> str:
    """The text of a refusal, in geth's words."""
    return table[reason].format_map(_Shown(facts))


class _Shown(dict[str, int | str | bytes]):
    """Facts that show addresses with their checksum."""

    def __getitem__(self, name: str) -> int | str:
        from l2engine.hashing import checksum_address  # imported only when a text is needed

        fact = super().__getitem__(name)
        return checksum_address(fact) if isinstance(fact, bytes) else fact
