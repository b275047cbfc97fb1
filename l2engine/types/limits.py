"""Limits on the history, the pool, block building and the RPC that an operator may change, with defaults (flags: `settings.py`)."""

from dataclasses import dataclass

from l2engine.types.base import Wei

HISTORY_STATE = HISTORY_PROOFS = 302_400  # 7 days of 2-second blocks


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """geth's --txpool.* flags."""

    price_limit: Wei = 1
    """The least tip."""
    price_bump: int = 10
    """The percentage by which a replacement must pay more."""
    account_slots: int = 16
    """Executable transactions that every sender may have, even in a full pool."""
    global_slots: int = 5120
    account_queue: int = 64
    """Transactions of one sender that wait for an earlier nonce."""
    global_queue: int = 1024
    lifetime_seconds: float = 3 * 3600.0
    """How long a transaction may wait for an earlier nonce."""
    rejournal_seconds: float = 3600.0
    """How often the journal is written anew, without the transactions that have left the pool."""


@dataclass(frozen=True, slots=True)
class BuilderSettings:
    """Limits and choices for building blocks."""

    deadline_seconds: float = 2.0
    """A build with the pool stops improving after this time (--builder.deadline)."""
    patience_seconds: float = 0.0
    """The most that a transaction of the pool may run when it was stopped in earlier blocks, although the payload has been asked for; 0
    for no more than any other. Not a flag: the executor decides it."""
    sdm_policy: str = "none"
    """How gas refunds are chosen, none or warming (--sdm.policy)."""
    sdm_opt_in: bool = False
    """Whether the operator wants gas refunds (--rollup.operator-sdm-opt-in)."""


@dataclass(frozen=True, slots=True)
class RpcSettings:
    """Limits of the RPC; 0 means unlimited unless said otherwise."""

    gas_cap: int = 50_000_000
    """Gas of eth_call and estimates."""
    evm_timeout_seconds: float = 5.0
    tx_fee_cap_wei: Wei = 10**18
    """The highest fee of a transaction that eth_sendRawTransaction takes."""
    batch_request_limit: int = 1000
    batch_response_max_bytes: int = 25_000_000
    response_max_bytes: int = 4_000_000_000
    """Of one answer with logs or traces; these are kept compressed, and in a file, until they are sent."""
    log_range_limit: int = 0
    """Blocks per eth_getLogs."""
    log_count_limit: int = 0
    """Logs per answer of eth_getLogs and eth_getFilterLogs."""
    log_query_limit: int = 1000
    """Addresses in a filter for logs, and topics for one position of it."""
    max_connections: int = 1000
    """Connections to the HTTP and WebSocket ports together; 0 for as many as the process may open files."""
    body_limit_bytes: int = 5 * 1024 * 1024
    engine_body_limit_bytes: int = 128 * 1024 * 1024
    minimum_suggested_tip: Wei = 1_000_000
    """The lowest tip that eth_maxPriorityFeePerGas suggests."""
    keep_forwarded: bool = False
    """Whether a transaction that went to the sequencer is kept in the local pool as well."""
    rollup_halt: str = ""
    """none, or the smallest part of a protocol version (major, minor, patch) whose increase stops the node."""
    allow_unprotected: bool = False
    """Whether to accept transactions without replay protection (EIP-155)."""
