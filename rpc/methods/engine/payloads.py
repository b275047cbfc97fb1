"""engine_newPayload*, forkchoiceUpdated*, getPayload*: which fields each version carries and at which forks it may be called; the chain's part is in `chain/engine.py`.

Sources: execution-apis src/engine; OP specs exec-engine.md; engine-api-observed 2.2 and 2.3 for op-geth's words and codes.
"""

from collections.abc import Callable

from l2engine.chain.payload import from_block
from l2engine.errors import InvalidAttributes, RequestTooLarge, UnsupportedFork
from l2engine.rules.forks import L1Rules
from l2engine.types.base import Hash32, Timestamp
from l2engine.types.block import Block
from l2engine.types.payload import (
    BuiltPayload,
    ExecutionPayload,
    ForkchoiceState,
    PayloadAttributes,
    PayloadStatus,
    Status,
)
from rpc.context import Context
from rpc.errors import EngineParamsError
from rpc.jsonrpc import RunsOn, method
from rpc.read.payloads import execution_payload, forkchoice_state, payload_attributes, payload_identifier
from rpc.read.values import (
    Optional,
    any_json,
    data_list,
    hash32,
    list_of,
    or_null,
    uint64,
)
from rpc.show import Json
from rpc.show.payloads import show_body, show_forkchoice, show_payload, show_status

MAX_BODIES = 1024  # execution-apis: clients must support at least 32 and may refuse more


def _rules(context: Context, timestamp: Timestamp) -> L1Rules:
    """The Ethereum rules at a time after the merge."""
    return context.config.fork_at_time(timestamp).l1


# ---- newPayload -----------------------------------------------------------------------------------------------------


def new_payload_v1(context: Context, payload: ExecutionPayload) -> Json:
    """Paris payloads."""
    context.config.require_known(payload.block_number, payload.timestamp)
    if payload.withdrawals is not None:
        raise EngineParamsError("withdrawals not supported in V1")
    return show_status(context.engine.new_payload(payload))


def new_payload_v2(context: Context, payload: ExecutionPayload) -> Json:
    """Paris and Shanghai (Canyon) payloads."""
    context.config.require_known(payload.block_number, payload.timestamp)
    fork = context.config.fork_at_time(payload.timestamp)
    shanghai = fork.has(L1Rules.SHANGHAI)
    if fork.has(L1Rules.CANCUN):
        raise EngineParamsError("can't use newPayloadV2 post-cancun")
    if shanghai and payload.withdrawals is None:
        raise EngineParamsError("nil withdrawals post-shanghai")
    if not shanghai and payload.withdrawals is not None:
        raise EngineParamsError("non-nil withdrawals pre-shanghai")
    if payload.excess_blob_gas is not None:
        raise EngineParamsError("non-nil excessBlobGas pre-cancun")
    if payload.blob_gas_used is not None:
        raise EngineParamsError("non-nil blobGasUsed pre-cancun")
    return show_status(context.engine.new_payload(payload, fork=fork))


def new_payload_v3(context: Context, payload: ExecutionPayload, versioned_hashes: list[Hash32] | None, beacon_root: Hash32 | None) -> Json:
    """Cancun (Ecotone) payloads."""
    context.config.require_known(payload.block_number, payload.timestamp)
    hashes = _check_cancun_fields(payload, versioned_hashes, beacon_root)
    fork = context.config.fork_at_time(payload.timestamp)
    if fork.l1 is not L1Rules.CANCUN:
        raise UnsupportedFork("newPayloadV3 must only be called for cancun payloads")
    return show_status(context.engine.new_payload(payload, hashes, beacon_root, fork=fork))


def new_payload_v4(
    context: Context,
    payload: ExecutionPayload,
    versioned_hashes: list[Hash32] | None,
    beacon_root: Hash32 | None,
    requests: list[bytes] | None,
) -> Json:
    """Prague (Isthmus) payloads and later."""
    context.config.require_known(payload.block_number, payload.timestamp)
    hashes = _check_cancun_fields(payload, versioned_hashes, beacon_root)
    if requests is None:
        raise EngineParamsError("nil executionRequests post-prague")
    fork = context.config.fork_at_time(payload.timestamp)
    if not fork.has(L1Rules.PRAGUE):
        raise UnsupportedFork("newPayloadV4 must only be called for prague payloads")
    _check_requests(requests)
    if requests and fork.is_optimism:
        return show_status(PayloadStatus(Status.INVALID, None, "requests should be empty for Isthmus blocks"))
    return show_status(context.engine.new_payload(payload, hashes, beacon_root, tuple(requests), fork))


def _check_cancun_fields(
    payload: ExecutionPayload, versioned_hashes: list[Hash32] | None, beacon_root: Hash32 | None
) -> tuple[Hash32, ...]:
    if payload.withdrawals is None:
        raise EngineParamsError("nil withdrawals post-shanghai")
    if payload.excess_blob_gas is None:
        raise EngineParamsError("nil excessBlobGas post-cancun")
    if payload.blob_gas_used is None:
        raise EngineParamsError("nil blobGasUsed post-cancun")
    if versioned_hashes is None:
        raise EngineParamsError("nil versionedHashes post-cancun")
    if beacon_root is None:
        raise EngineParamsError("nil beaconRoot post-cancun")
    return tuple(versioned_hashes)


def _check_requests(requests: list[bytes]) -> None:
    """EIP-7685: no empty request, types rising."""
    for i, request in enumerate(requests):
        if len(request) < 2:
            raise EngineParamsError(f"empty request: 0x{request.hex()}")
        if i and request[0] <= requests[i - 1][0]:
            raise EngineParamsError(f"invalid request order: 0x{request.hex()}")


# ---- forkchoiceUpdated ----------------------------------------------------------------------------------------------


def forkchoice_updated_v1(context: Context, state: ForkchoiceState, attributes: PayloadAttributes | None) -> Json:
    """Attributes of Paris."""
    if attributes is not None:
        context.config.require_known(0, attributes.timestamp)
        if attributes.withdrawals is not None or attributes.parent_beacon_block_root is not None:
            raise EngineParamsError("withdrawals and beacon root not supported in V1")
        if _rules(context, attributes.timestamp).includes(L1Rules.SHANGHAI):
            raise EngineParamsError("fcuV1 called post-shanghai")
    return show_forkchoice(context.engine.forkchoice_updated(state, attributes, 1))


def forkchoice_updated_v2(context: Context, state: ForkchoiceState, attributes: PayloadAttributes | None) -> Json:
    """Attributes of Paris and Shanghai."""
    if attributes is not None:
        context.config.require_known(0, attributes.timestamp)
        rules = _rules(context, attributes.timestamp)
        if attributes.parent_beacon_block_root is not None:
            raise InvalidAttributes("unexpected beacon root")
        if rules is L1Rules.PARIS and attributes.withdrawals is not None:
            raise InvalidAttributes("unexpected withdrawals")
        if rules is L1Rules.SHANGHAI and attributes.withdrawals is None:
            raise InvalidAttributes("missing withdrawals")
        if rules.includes(L1Rules.CANCUN):
            raise UnsupportedFork("fcuV2 must only be called with paris or shanghai payloads")
    return show_forkchoice(context.engine.forkchoice_updated(state, attributes, 2))


def forkchoice_updated_v3(context: Context, state: ForkchoiceState, attributes: PayloadAttributes | None) -> Json:
    """Attributes of Cancun and later."""
    if attributes is not None:
        _check_cancun_attributes(context, attributes)
    return show_forkchoice(context.engine.forkchoice_updated(state, attributes, 3))


def forkchoice_updated_v4(context: Context, state: ForkchoiceState, attributes: PayloadAttributes | None, custody: object = None) -> Json:
    """Only without attributes: no fork has the slot number that version 4 requires."""
    if attributes is not None:
        _check_cancun_attributes(context, attributes)
        raise InvalidAttributes("missing slot number")
    return show_forkchoice(context.engine.forkchoice_updated(state, None, 4))


def _check_cancun_attributes(context: Context, attributes: PayloadAttributes) -> None:
    context.config.require_known(0, attributes.timestamp)
    if attributes.withdrawals is None:
        raise InvalidAttributes("missing withdrawals")
    if attributes.parent_beacon_block_root is None:
        raise InvalidAttributes("missing beacon root")
    if not _rules(context, attributes.timestamp).includes(L1Rules.CANCUN):
        raise UnsupportedFork("fcuV3 must only be called for cancun/prague/osaka payloads")


# ---- getPayload -----------------------------------------------------------------------------------------------------


def get_payload_v1(context: Context, identity: bytes) -> Json:
    """The bare payload of a version 1 build."""
    return show_payload(from_block(context.config, _built(context, identity, (1,), None).block))


def _get_payload(versions: tuple[int, ...], rules: tuple[L1Rules, ...]) -> Callable[[Context, bytes], Json]:
    def get_payload(context: Context, identity: bytes) -> Json:
        """The payload with the envelope of versions 2 and later."""
        built = _built(context, identity, versions, rules)
        header = built.block.header
        envelope: Json = {
            "executionPayload": show_payload(from_block(context.config, built.block)),
            "blockValue": hex(built.block_value),
            "blobsBundle": {"commitments": [], "proofs": [], "blobs": []},
            "executionRequests": None if header.requests_hash is None else [],
            "shouldOverrideBuilder": False,
        }
        if header.parent_beacon_block_root is not None:
            envelope["parentBeaconBlockRoot"] = "0x" + header.parent_beacon_block_root.hex()
        return envelope

    return get_payload


def _built(context: Context, identity: bytes, versions: tuple[int, ...], rules: tuple[L1Rules, ...] | None) -> BuiltPayload:
    if identity[0] not in versions:
        raise UnsupportedFork
    built = context.engine.get_payload(identity)
    if rules is not None and _rules(context, built.block.header.timestamp) not in rules:
        raise UnsupportedFork
    return built


# ---- bodies ---------------------------------------------------------------------------------------------------------


def get_payload_bodies_by_hash_v1(context: Context, hashes: list[Hash32]) -> list[Json | None]:
    """The bodies of these blocks in this order; null for unknown ones."""
    return [_body(context.blocks.block(block_hash)) for block_hash in hashes]


def get_payload_bodies_by_range_v1(context: Context, start: int, count: int) -> list[Json | None]:
    """The bodies of canonical blocks from `start` on, ending at the head."""
    if start == 0 or count == 0:
        raise EngineParamsError(f"invalid start or count, start: {hex(start)} count: {hex(count)}")
    if count > MAX_BODIES:
        raise RequestTooLarge(f"requested count too large: {hex(count)}")
    end = min(start + count - 1, context.engine.head.number)
    return [_body(context.block(number)) for number in range(start, end + 1)]


def _body(block: Block | None) -> Json | None:
    return None if block is None else show_body(block)


_hashes = or_null(list_of(hash32, "common.Hash"))
_requests = or_null(data_list)
_state_and_attributes = (forkchoice_state, Optional(payload_attributes))

METHODS = {
    "engine_newPayloadV1": method(new_payload_v1, execution_payload, runs_on=RunsOn.ENGINE),
    "engine_newPayloadV2": method(new_payload_v2, execution_payload, runs_on=RunsOn.ENGINE),
    "engine_newPayloadV3": method(new_payload_v3, execution_payload, _hashes, Optional(hash32), runs_on=RunsOn.ENGINE),
    "engine_newPayloadV4": method(new_payload_v4, execution_payload, _hashes, Optional(hash32), _requests, runs_on=RunsOn.ENGINE),
    "engine_forkchoiceUpdatedV1": method(forkchoice_updated_v1, *_state_and_attributes, runs_on=RunsOn.ENGINE),
    "engine_forkchoiceUpdatedV2": method(forkchoice_updated_v2, *_state_and_attributes, runs_on=RunsOn.ENGINE),
    "engine_forkchoiceUpdatedV3": method(forkchoice_updated_v3, *_state_and_attributes, runs_on=RunsOn.ENGINE),
    "engine_forkchoiceUpdatedV4": method(forkchoice_updated_v4, *_state_and_attributes, Optional(any_json), runs_on=RunsOn.ENGINE),
    "engine_getPayloadV1": method(get_payload_v1, payload_identifier, runs_on=RunsOn.ENGINE),
    "engine_getPayloadV2": method(_get_payload((1, 2), (L1Rules.PARIS, L1Rules.SHANGHAI)), payload_identifier, runs_on=RunsOn.ENGINE),
    "engine_getPayloadV3": method(_get_payload((3,), (L1Rules.CANCUN,)), payload_identifier, runs_on=RunsOn.ENGINE),
    "engine_getPayloadV4": method(_get_payload((3,), (L1Rules.PRAGUE,)), payload_identifier, runs_on=RunsOn.ENGINE),
    "engine_getPayloadV5": method(_get_payload((3,), (L1Rules.OSAKA,)), payload_identifier, runs_on=RunsOn.ENGINE),
    "engine_getPayloadBodiesByHashV1": method(get_payload_bodies_by_hash_v1, list_of(hash32, "common.Hash"), runs_on=RunsOn.READ),
    "engine_getPayloadBodiesByRangeV1": method(get_payload_bodies_by_range_v1, uint64, uint64, runs_on=RunsOn.READ),
}
