"""For each field of each argument table: two requests that differ in this field alone, whose answers must differ.

`CASES` is by table and field ("TransactionArgs.value"). What a method leaves out on purpose is in `SILENT`, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from eth_account import Account

from genesis.dev.accounts import DEV_ACCOUNTS
from tests.rpc.argument_chain import AUTHORITY, CODE, LOGGER, OTHER, PROBE, SENDER, SINK, Recorded, recorded, word

Json = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One method asked twice."""

    method: str
    first: list[Any]
    second: list[Any]


PRICE, DEAR = "0x77359400", "0x" + "f" * 30
BLOB = "0x01" + "00" * 31
SHA256 = "0x" + "00" * 19 + "02"
ADDRESS_RETURNED = "0x305f5260205f2061ffff165f905360205ff3"  # a contract whose code is its address
SLOT = {"0x" + word(1): "0x" + word(7)}
ACCESS = {"address": PROBE, "storageKeys": ["0x" + word(1), "0x" + word(9)]}


def authorization(**changes: Any) -> Json:
    fields = {"chainId": 0, "address": CODE, "nonce": 0}
    signed = Account.sign_authorization(fields, DEV_ACCOUNTS[1].private_key)
    shown = {"chainId": "0x0", "address": CODE, "nonce": "0x0", "yParity": hex(signed.y_parity), "r": hex(signed.r), "s": hex(signed.s)}
    return {**shown, **changes}


def call(method: str, args: Json, state: Json | None = None, block: Json | None = None) -> list[Any]:
    """The parameters of a method that takes transaction arguments."""
    if method == "eth_signTransaction":
        prices = {} if "gasPrice" in args else {"maxFeePerGas": PRICE, "maxPriorityFeePerGas": "0x1"}
        return [{"from": SENDER, "to": PROBE, "gas": "0x186a0", "nonce": "0x9", **prices, **args}]
    args = {"from": SENDER, **({} if "data" in args and state is not None and "to" not in args else {"to": PROBE}), **args}
    if method == "debug_traceCall":
        return [args, "latest", {"tracer": "callTracer", "stateOverrides": state or {}, "blockOverrides": block or {}}]
    return [args, "latest", state or {}, *([] if block is None else [block])]


# ---- transaction arguments ------------------------------------------------------------------------------------------

CALLS = ("eth_call", "eth_estimateGas", "eth_createAccessList", "debug_traceCall")
SENDS = ("eth_signTransaction",)
ARGUMENTS: Mapping[str, tuple[Json, Json]] = {
    "TransactionArgs.from": ({}, {"from": OTHER}),
    "TransactionArgs.to": ({}, {"to": LOGGER}),
    "TransactionArgs.gas": ({}, {"gas": "0x5300"}),
    "TransactionArgs.gasPrice": ({}, {"gasPrice": PRICE}),
    "TransactionArgs.maxFeePerGas": ({"maxPriorityFeePerGas": "0x0"}, {"maxPriorityFeePerGas": "0x0", "maxFeePerGas": "0x1"}),
    "TransactionArgs.maxPriorityFeePerGas": ({"maxFeePerGas": PRICE}, {"maxFeePerGas": PRICE, "maxPriorityFeePerGas": "0x5"}),
    "TransactionArgs.value": ({}, {"value": "0x5"}),
    "TransactionArgs.nonce": ({}, {"nonce": "0x7"}),
    "TransactionArgs.data": ({}, {"data": "0x05"}),
    "TransactionArgs.input": ({}, {"input": "0x05"}),
    "TransactionArgs.accessList": ({}, {"accessList": [ACCESS, {"address": OTHER, "storageKeys": []}]}),
    "TransactionArgs.chainId": ({}, {"chainId": "0x1"}),
    "TransactionArgs.maxFeePerBlobGas": ({"blobVersionedHashes": [BLOB]}, {"blobVersionedHashes": [BLOB], "maxFeePerBlobGas": DEAR}),
    "TransactionArgs.blobVersionedHashes": ({}, {"blobVersionedHashes": [BLOB]}),
    "TransactionArgs.authorizationList": ({}, {"authorizationList": [authorization()]}),
    "TransactionArgs.type": ({}, {"type": "0x7d"}),
    "TransactionArgs.blobs": ({}, {"blobs": ["0x00"]}),
    "TransactionArgs.commitments": ({}, {"commitments": ["0x00"]}),
    "TransactionArgs.proofs": ({}, {"proofs": ["0x00"]}),
    "AccessTuple.address": ({"accessList": [ACCESS]}, {"accessList": [{**ACCESS, "address": OTHER}]}),
    "AccessTuple.storageKeys": ({"accessList": [ACCESS]}, {"accessList": [{**ACCESS, "storageKeys": []}]}),
    **{
        f"SetCodeAuthorization.{field}": (
            {"authorizationList": [authorization()]},
            {"authorizationList": [authorization(**{field: other})]},
        )
        for field, other in {"chainId": "0x1", "address": OTHER, "nonce": "0x1", "yParity": "0x2", "r": "0x1", "s": "0x1"}.items()
    },
}

SILENT = {
    **{(method, "TransactionArgs.nonce"): "a call uses the account's own nonce, as in geth" for method in CALLS},
    ("eth_signTransaction", "TransactionArgs.maxFeePerBlobGas"): "a transaction with blobs is refused with or without",
}

# ---- overrides ------------------------------------------------------------------------------------------------------

STATE: Mapping[str, tuple[Json, Json]] = {  # transaction arguments, override
    "OverrideAccount.nonce": ({"data": ADDRESS_RETURNED}, {SENDER: {"nonce": "0x77"}}),
    "OverrideAccount.code": ({}, {PROBE: {"code": "0x5f5f5260205ff3"}}),
    "OverrideAccount.balance": ({}, {PROBE: {"balance": "0x5"}}),
    "OverrideAccount.state": ({}, {PROBE: {"state": SLOT}}),
    "OverrideAccount.stateDiff": ({}, {PROBE: {"stateDiff": SLOT}}),
    "OverrideAccount.movePrecompileToAddress": ({}, {SHA256: {"movePrecompileToAddress": SINK}}),
}
BLOCK: Mapping[str, Any] = {
    "number": "0x77",
    "difficulty": "0x77",
    "time": "0x77777777",
    "gasLimit": "0x777777",
    "feeRecipient": OTHER,
    "prevRandao": "0x" + word(7),
    "baseFeePerGas": "0x7",
    "blobBaseFee": "0x7",
    "beaconRoot": "0x" + word(7),
    "withdrawals": [],
}
BLOCK_METHODS = ("eth_call", "eth_estimateGas", "debug_traceCall")
SILENT |= {(method, "BlockOverrides.difficulty"): "no opcode sees it from the merge on, as in geth" for method in BLOCK_METHODS}


def of_calls() -> list[tuple[str, Case]]:
    cases = [
        (key, Case(method, call(method, first), call(method, second)))
        for key, (first, second) in ARGUMENTS.items()
        for method in (*CALLS, *SENDS)
    ]
    cases += [
        (key, Case(method, call(method, args, {}), call(method, args, state))) for key, (args, state) in STATE.items() for method in CALLS
    ]
    priced: Json = {"gasPrice": PRICE}
    for field, value in BLOCK.items():
        for method in BLOCK_METHODS:
            cases.append(
                (f"BlockOverrides.{field}", Case(method, call(method, priced, None, {}), call(method, priced, None, {field: value})))
            )
    return cases


# ---- traces ---------------------------------------------------------------------------------------------------------

OPTIONS: Mapping[str, tuple[Json, Json]] = {
    "enableMemory": ({}, {"enableMemory": True}),
    "disableStack": ({}, {"disableStack": True}),
    "disableStorage": ({}, {"disableStorage": True}),
    "enableReturnData": ({}, {"enableReturnData": True}),
    "limit": ({}, {"limit": 1}),
    "tracer": ({}, {"tracer": "callTracer"}),
    "tracerConfig": ({"tracer": "callTracer"}, {"tracer": "callTracer", "tracerConfig": {"withLog": True}}),
    "timeout": ({}, {"timeout": "1ns"}),
    "overrides": ({}, {"overrides": {"cancunTime": 5}}),
    "stateOverrides": ({}, {"stateOverrides": {LOGGER: {"code": "0x"}}}),
    "blockOverrides": ({"stateOverrides": {LOGGER: {"code": "0x43"}}}, {"stateOverrides": {LOGGER: {"code": "0x43"}}, "blockOverrides": {"number": "0x7"}}),
    "txIndex": ({"tracer": "prestateTracer"}, {"tracer": "prestateTracer", "txIndex": "0x1"}),
}  # fmt: skip
CONFIGS: Mapping[str, tuple[str, ...]] = {
    "callTracer": ("onlyTopCall", "withLog"),
    "flatCallTracer": ("convertParityErrors", "includePrecompiles"),
    "prestateTracer": ("diffMode", "disableCode", "disableStorage", "includeEmpty"),
}


def of_traces(chain: Recorded) -> list[tuple[str, Case]]:
    args = {"from": SENDER, "to": LOGGER, "gas": "0x186a0"}
    cases = [
        (f"TraceCallConfig.{name}", Case("debug_traceCall", [args, "0x1", first], [args, "0x1", second]))
        for name, (first, second) in OPTIONS.items()
    ]
    of_call_alone = ("stateOverrides", "blockOverrides", "txIndex")
    for method, what in (
        ("debug_traceTransaction", chain.transaction),
        ("debug_traceBlockByNumber", "0x1"),
        ("debug_traceBlockByHash", chain.blocks[0]),
    ):
        for name, (first, second) in OPTIONS.items():
            first = {} if name in of_call_alone else first
            cases.append((f"TraceConfig.{name}", Case(method, [what, first], [what, second])))
    state = {"stateOverrides": {LOGGER: {"code": "0xfe"}}}
    for tracer, names in CONFIGS.items():
        for name in names:
            options = {"tracer": tracer, **(state if name == "convertParityErrors" else {})}
            configured = {**options, "tracerConfig": {name: True}}
            for mux in (False, True):
                pair = [
                    {**item, "tracer": "muxTracer", "tracerConfig": {tracer: item.get("tracerConfig")}} if mux else item
                    for item in (options, configured)
                ]
                table = "PrestateTracerConfig" if tracer == "prestateTracer" else f"{tracer}Config"
                cases.append((f"{table}.{name}", Case("debug_traceCall", [args, "latest", pair[0]], [args, "latest", pair[1]])))
    return cases  # fmt: skip


# ---- logs -----------------------------------------------------------------------------------------------------------


def of_logs(chain: Recorded) -> list[tuple[str, Case]]:
    everything = {"fromBlock": "0x0"}
    pairs: Mapping[str, tuple[Json, Json]] = {
        "blockHash": ({}, {"blockHash": chain.blocks[0]}),
        "fromBlock": ({"toBlock": "0x2"}, {"toBlock": "0x2", "fromBlock": "0x0"}),
        "toBlock": (everything, {**everything, "toBlock": "0x0"}),
        "address": (everything, {**everything, "address": OTHER}),
        "topics": (everything, {**everything, "topics": [None, "0x" + word(5)]}),
    }
    return [(f"input.{name}", Case(method, [first], [second])) for name, (first, second) in pairs.items() for method in ("eth_getLogs", "eth_newFilter")]  # fmt: skip


# ---- engine ---------------------------------------------------------------------------------------------------------


def of_engine(chain: Recorded) -> list[tuple[str, Case]]:
    state, attributes, payload = chain.forkchoice, chain.attributes, chain.payload
    cases: list[tuple[str, Case]] = []
    for name, value in {
        "timestamp": hex(int(attributes["timestamp"], 16) + 2),
        "prevRandao": "0x" + word(7),
        "suggestedFeeRecipient": OTHER,
        "withdrawals": [chain.withdrawal],
        "parentBeaconBlockRoot": "0x" + word(7),
        "slotNumber": "0x5",
        "transactions": attributes["transactions"] * 2,
        "noTxPool": False,
        "gasLimit": "0x1000000",
        "eip1559Params": "0x000000fa00000007",
        "minBaseFee": 7,
    }.items():
        changed = {**attributes, name: value}
        cases.append((f"PayloadAttributes.{name}", Case("engine_forkchoiceUpdatedV3", [state, attributes], [state, changed])))
    for name in payload:
        changed = {**payload, name: chain.changed_payload[name]}
        cases.append((f"ExecutableData.{name}", Case("engine_newPayloadV4", chain.new_payload(payload), chain.new_payload(changed))))
    for name, value in chain.withdrawal.items():  # an OP chain has no withdrawals, whatever they say
        changed = {**payload, "withdrawals": [{name: value}]}
        cases.append((f"Withdrawal.{name}", Case("engine_newPayloadV4", chain.new_payload(payload), chain.new_payload(changed))))
    for name in state:
        cases.append(
            (f"ForkchoiceStateV1.{name}", Case("engine_forkchoiceUpdatedV3", [state, None], [{**state, name: chain.blocks[0]}, None]))
        )
    merge = {"terminalTotalDifficulty": "0x0", "terminalBlockHash": chain.blocks[0], "terminalBlockNumber": "0x1"}
    for name, value in {"terminalTotalDifficulty": "0x1", "terminalBlockHash": "0x" + word(0), "terminalBlockNumber": "0x0"}.items():
        cases.append(
            (f"TransitionConfigurationV1.{name}", Case("engine_exchangeTransitionConfigurationV1", [merge], [{**merge, name: value}]))
        )
    ahead = "0x" + "00" * 16 + "00000063" + "00" * 12
    for name in ("recommended", "required"):
        cases.append((f"SuperchainSignal.{name}", Case("engine_signalSuperchainV1", [{}], [{name: ahead}])))
    return cases


@cache
def all_cases() -> tuple[tuple[str, Case], ...]:
    chain = recorded()
    return (*of_calls(), *of_traces(chain), *of_logs(chain), *of_engine(chain))


__all__ = ["AUTHORITY", "SILENT", "Case", "all_cases"]
