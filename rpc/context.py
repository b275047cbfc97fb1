"""The context of RPC methods: the chain, the pool, the settings, and the few look-ups that all namespaces share."""

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakSet

from l2engine.chain.engine import Engine
from l2engine.chain.pool import Pool
from l2engine.chain.process import header_env
from l2engine.errors import UnknownBlock
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig
from l2engine.store.blocks import BlockStore
from l2engine.types.base import Address, Hash32
from l2engine.types.block import Block
from l2engine.types.environment import BlockEnv
from l2engine.types.execution import AccountOverride, Call, Deadline
from l2engine.types.header import Header
from l2engine.types.limits import RpcSettings
from l2engine.types.receipt import Receipt
from l2engine.types.state import StateView
from l2engine.types.storage import StateStore
from rpc.errors import NO_HISTORICAL_FALLBACK, SERVER_ERROR, TIMEOUT, RpcError
from rpc.fee_history import PaidTips
from rpc.installed_filters import Filters
from rpc.read.blocks import BlockReference, CanonicalHash

REQUEST_SECONDS = 30.0  # the time limit of geth's HTTP server for a request


class RequestTime:
    """The time that one request has, and for how long its client is there to wait for it.

    What takes long asks `check` now and then, or runs with a `deadline`: both end when the client leaves.
    """

    def __init__(self, seconds: float = math.inf) -> None:
        self._deadlines: WeakSet[Deadline] = WeakSet()
        self._lock = threading.Lock()
        self._client_left = False
        self._end = self.deadline(seconds)

    @property
    def over(self) -> bool:
        return time.monotonic() > self._end

    def check(self) -> None:
        """Raise `RpcError` when the time is over."""
        if self.over:
            raise RpcError(TIMEOUT, "request timed out")

    def deadline(self, seconds: float) -> Deadline:
        """A deadline for work that begins now."""
        deadline = Deadline(time.monotonic() + seconds)
        with self._lock:
            self._deadlines.add(deadline)
            if self._client_left:
                deadline.at = 0.0
        return deadline

    def client_left(self) -> None:
        """End all work for the request. Any thread may call it."""
        with self._lock:
            self._client_left = True
            for deadline in self._deadlines:
                deadline.at = 0.0


def begin_request() -> RequestTime:
    """The time of a request that comes in now."""
    return RequestTime(REQUEST_SECONDS)


class Network:
    """The node's identity and peers. This base class has neither."""

    def peer_count(self) -> int:
        """The number of connected peers."""
        return 0

    def peers(self) -> list[dict[str, Any]]:
        """The connected peers, as admin_peers shows them."""
        return []

    def node_info(self) -> dict[str, Any]:
        """This node, as admin_nodeInfo shows it."""
        return {}

    def syncing(self) -> dict[str, int] | None:
        """Progress of a running sync (startingBlock, currentBlock, highestBlock), None when not syncing."""
        return None


@dataclass(slots=True)
class Context:
    """The first argument of every RPC method."""

    engine: Engine
    settings: RpcSettings = field(default_factory=RpcSettings)
    client_version: str = "l2engine"
    commit: str = "00000000"
    """The commit of this build in engine_getClientVersionV1: four bytes as hex."""
    network_id: int | None = None
    """None means that the chain id is used."""
    keys: Mapping[Address, bytes] = field(default_factory=dict)
    """The dev chain's private keys by account, for eth_accounts and eth_sendTransaction."""
    network: Network = field(default_factory=Network)
    halt: Callable[[str], None] = lambda reason: None
    """Stops the node, for --rollup.halt."""
    forward: Callable[[str, list[Any]], Any] | None = None
    """Sends a request to the sequencer and returns its result; the sequencer's error is raised unchanged. None without a sequencer."""
    automine: Callable[[Pool, Hash32], None] | None = None
    """On a chain that makes a block when a transaction comes: waits until a transaction of the pool is in one. None elsewhere."""
    namespaces: tuple[str, ...] = ()
    """The names of --http.api, for rpc_modules."""
    filters: Filters = field(default_factory=Filters)
    paid_tips: PaidTips = field(default_factory=PaidTips)
    request_time: RequestTime = field(default_factory=RequestTime)
    """Of the request that is answered (`for_request`)."""
    blocks: BlockStore = field(init=False)
    state: StateStore = field(init=False)
    pool: Pool = field(init=False)
    config: ChainConfig = field(init=False)
    executor: Executor = field(init=False)

    def __post_init__(self) -> None:
        engine = self.engine
        self.blocks, self.state, self.pool, self.config, self.executor = (
            engine.blocks,
            engine.state,
            engine.pool,
            engine.config,
            engine.executor,
        )

    def for_request(self, request_time: RequestTime) -> "Context":
        """This context, for the methods of one request."""
        context = copy(self)
        context.request_time = request_time
        return context

    def await_block(self, tx_hash: Hash32) -> None:
        """On a chain that makes a block when a transaction comes, wait for that block; elsewhere do nothing."""
        if self.automine is not None:
            self.automine(self.pool, tx_hash)

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def header(self, reference: BlockReference) -> Header | None:
        """The header for a number, tag or hash; None when there is none. `UnknownBlock` for safe or finalized when not set."""
        found = self._find(reference)
        if found is None and reference in ("safe", "finalized"):
            raise UnknownBlock(f"{reference} block not found")
        return found

    def _find(self, reference: BlockReference) -> Header | None:
        engine = self.engine
        if reference == "latest" or reference == "pending":  # there is no pending block, so "pending" means the head
            return engine.head
        if isinstance(reference, bytes):
            return self.blocks.header(reference)
        if reference == "safe" or reference == "finalized":
            return engine.safe if reference == "safe" else engine.finalized
        if reference is None:
            raise RpcError(SERVER_ERROR, "invalid arguments; neither block nor hash specified")
        block_hash = self.blocks.canonical_hash(0 if isinstance(reference, str) else reference)
        return None if block_hash is None else self.blocks.header(block_hash)

    def header_or_error(self, reference: BlockReference, unset: str = "header not found") -> Header:
        """As `header`, but raises an error in geth's words when there is none; `unset` are the words where the
        label (safe or finalized) is not set."""
        header = None if reference is None else self._find(reference)
        if header is None:
            raise UnknownBlock(unset.format(label=reference) if isinstance(reference, str) else "header not found")
        if isinstance(reference, CanonicalHash) and not self.blocks.is_canonical(header):
            raise RpcError(SERVER_ERROR, "hash is not currently canonical")
        return header

    def block(self, reference: BlockReference) -> Block | None:
        """The block for a number, tag or hash; None when there is none."""
        header = self.header(reference)
        return None if header is None else self.blocks.block(header.hash)

    def mined(self, tx_hash: Hash32) -> tuple[Block, int] | None:
        """The canonical block that contains a transaction, and its index there; None when no block does."""
        location = self.blocks.transaction_location(tx_hash)
        block = None if location is None else self.blocks.block(location[0])
        return None if location is None or block is None else (block, location[1])

    def raw_transaction(self, tx_hash: Hash32) -> bytes | None:
        """A transaction's EIP-2718 bytes, from the chain or the pool; None when it is in neither."""
        mined = self.mined(tx_hash)
        return self.pool.get(tx_hash) if mined is None else mined[0].transactions[mined[1]]

    def receipts(self, block_hash: Hash32) -> Sequence[Receipt]:
        """The receipts of a block; empty when the block is not known."""
        return self.blocks.receipts(block_hash) or ()

    def view(self, header: Header) -> StateView:
        """The state after a block."""
        if header.number < self.config.bedrock_block:
            raise RpcError(NO_HISTORICAL_FALLBACK, "no historical RPC is available for this historical (pre-bedrock) execution request")
        return self.state.view(header.hash)

    def environment(self, header: Header, overrides: Mapping[str, Any] | None = None) -> BlockEnv:
        """A block's environment for calls on top of its state, with the fields in `overrides` replaced."""
        parent = self.blocks.header(header.parent_hash) or header
        return replace(header_env(header, parent), **overrides or {})

    def deadline(
        self, env: BlockEnv, message: Call, overrides: Mapping[Address, AccountOverride] | None = None, traced: bool = False
    ) -> Deadline:
        """The deadline of a call that starts now. Imports the modules that calls need first."""
        self.executor.prepare(env, message, overrides, traced)
        return self.request_time.deadline(self.settings.evm_timeout_seconds or math.inf)
