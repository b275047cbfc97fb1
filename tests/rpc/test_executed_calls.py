"""Calls, access lists and traces of small contracts given as overrides, on the reference and on the native executor."""

import json
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account

from genesis import loader
from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.chain.engine import Engine
from l2engine.evm.native.machine import NativeExecutor
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.native import NativeKeyValue, NativeState
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import methods_for
from tests.conformance.families import needs_native
from tests.rpc.chain import at_genesis

METHODS = methods_for(("eth", "debug"))
WHO = "0x" + DEV_ACCOUNTS[0].address.hex()
CODE = "0x00000000000000000000000000000000000c0de1"
SHA256 = "0x" + "00" * 19 + "02"
STORE = "0x5f3560015500"  # slot 1 = calldata
RECURSE = "0x5f5f5f5f5f305af15000"
BLOCK = "0x435f524260205248604052" + "4a606052" + "6001430340608052" + "60a05ff3"  # number, time, base fee, blob base fee, parent's hash


def at_native_genesis() -> Context:
    genesis = loader.load(dev_genesis("jovian", 1_700_000_000))
    kv = NativeKeyValue(None)
    write_genesis(kv, genesis.block, genesis.alloc, b"{}")
    return Context(Engine(genesis.config, kv, BlockStore(kv), NativeState(kv), NativeExecutor(genesis.config)))


@pytest.fixture(scope="module", params=[at_genesis, pytest.param(at_native_genesis, marks=needs_native)])
def context(request) -> Context:
    return request.param()


def ask(context: Context, name: str, *params: Any) -> Any:
    answer = json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode(), METHODS, context))
    return answer.get("result", answer.get("error"))


def word(value: int) -> str:
    return f"{value:064x}"


def test_what_a_block_override_changes(context):
    overrides = {"number": hex(2**64), "time": "0x7", "baseFeePerGas": hex(10**30), "blobBaseFee": "0x64"}
    seen = ask(context, "eth_call", {"to": CODE}, "latest", {CODE: {"code": BLOCK}}, overrides)
    assert seen == "0x" + word(2**64) + word(7) + word(0) + word(100) + word(0)  # without a price the base fee is 0
    answer = ask(context, "eth_call", {"from": WHO, "to": CODE, "gasPrice": "0x1"}, "latest", {}, {"baseFeePerGas": hex(10**30)})
    assert answer["message"].startswith("err: max fee per gas less than block base fee")


def test_only_precompiles_move(context):
    moved = ask(context, "eth_call", {"to": CODE}, "latest", {SHA256: {"movePrecompileToAddress": CODE}})
    assert moved == "0xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    answer = ask(context, "eth_call", {"to": CODE}, "latest", {CODE: {"movePrecompileToAddress": SHA256}})
    assert "is not a precompile" in answer["message"]
    answer = ask(context, "eth_call", {"to": CODE}, "latest", {SHA256: {"movePrecompileToAddress": CODE}, CODE: {}})
    assert answer["message"] == "account 0x00000000000000000000000000000000000c0dE1 is already overridden"


def test_an_access_list_keeps_what_was_declared(context):
    declared = [{"address": CODE, "storageKeys": ["0x" + word(9)]}, {"address": SHA256, "storageKeys": []}]
    answer = ask(context, "eth_createAccessList", {"from": WHO, "to": CODE, "accessList": declared}, "latest", {CODE: {"code": STORE}})
    assert answer["accessList"] == [{"address": CODE, "storageKeys": ["0x" + word(1), "0x" + word(9)]}]


def test_calls_in_calls_are_traced_to_the_last(context):
    options = {"tracer": "callTracer", "stateOverrides": {CODE: {"code": RECURSE}}}
    frame, depth = ask(context, "debug_traceCall", {"to": CODE, "gas": "0x2faf080"}, "latest", options), 1
    while "calls" in frame:
        (frame,), depth = frame["calls"], depth + 1
    assert depth > 300


def test_a_traced_call_begins_with_the_refund_of_its_authorizations(context):
    signed = Account.sign_authorization({"chainId": 0, "address": CODE, "nonce": 0}, DEV_ACCOUNTS[1].private_key)
    fields = {"chainId": "0x0", "address": CODE, "nonce": "0x0", "yParity": hex(signed.y_parity), "r": hex(signed.r), "s": hex(signed.s)}
    options = {"stateOverrides": {CODE: {"code": STORE}}}
    steps = ask(context, "debug_traceCall", {"from": WHO, "to": CODE, "authorizationList": [fields]}, "latest", options)["structLogs"]
    assert {step["refund"] for step in steps} == {12_500}


def test_flat_traces_of_calls_have_no_place(context):
    (entry,) = ask(context, "debug_traceCall", {"to": CODE}, "latest", {"tracer": "flatCallTracer"})
    assert (entry["blockHash"], entry["blockNumber"], entry["transactionHash"], entry["transactionPosition"]) == (None, 0, None, 0)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ([], -32602, "invalid argument 2: json: cannot unmarshal array into Go value of type tracers.TraceCallConfig"),
        ({"tracer": 5}, -32602, "invalid argument 2: json: cannot unmarshal number into Go struct field TraceCallConfig.tracer of type string"),
        ({"limit": "3"}, -32602, "invalid argument 2: json: cannot unmarshal string into Go struct field TraceCallConfig.limit of type int"),
        ({"stateOverrides": {"0x12": {}}}, -32602, "invalid argument 2: hex string has length 2, want 40 for common.Address"),
        ({"tracer": "nope"}, -32000, "ReferenceError: nope is not defined at <eval>:1:2(0)"),
        ({"tracer": "callTracer", "tracerConfig": 5}, -32000, "json: cannot unmarshal number into Go value of type native.callTracerConfig"),
        ({"tracer": "prestateTracer", "tracerConfig": {"diffMode": True, "includeEmpty": True}}, -32000, "cannot use diffMode with includeEmpty"),
        ({"timeout": "soon"}, -32000, 'time: invalid duration "soon"'),
    ],
)  # fmt: skip
def test_options_of_traces(context, options, code, message):
    assert ask(context, "debug_traceCall", {}, "latest", options) == {"code": code, "message": message}


def test_blocks_that_are_not_there(context):
    nowhere = "0x" + "11" * 32
    assert ask(context, "debug_getRawHeader", "0x5") == ask(context, "debug_getRawBlock", "0x5") == "0x"
    assert ask(context, "debug_getRawBlock", nowhere)["message"] == f"block #[{' '.join(['17'] * 32)}] not found"
    assert ask(context, "debug_traceCall", {}, "0x5")["message"] == "block #5 not found"
    assert ask(context, "debug_traceCall", {}, nowhere)["message"] == f"block {nowhere} not found"
    assert ask(context, "debug_traceBlock", "0xc0")["message"].startswith("could not decode block: ")
    assert ask(context, "eth_getBalance", WHO, None) == {"code": -32000, "message": "header not found"}


def test_proofs_are_limited(context):
    keys = ["0x0"] * 1025
    assert len(ask(context, "eth_getProof", CODE, keys[:-1], "latest")["storageProof"]) == 1024
    refused = {"code": -32602, "message": "too many storage keys requested (max 1024, got 1025)"}
    assert ask(context, "eth_getProof", CODE, keys, "latest") == refused


def test_a_trace_of_a_long_loop_is_refused_before_it_fills_the_memory(context, monkeypatch):
    monkeypatch.setattr(context, "settings", replace(context.settings, response_max_bytes=100_000))
    options = {"stateOverrides": {CODE: {"code": "0x5b5f56"}}}  # forever
    answer = ask(context, "debug_traceCall", {"to": CODE, "gas": hex(10**6)}, "latest", options)
    assert answer["code"] == -32003 and "more than 100000 bytes" in answer["message"]
    limited = ask(context, "debug_traceCall", {"to": CODE, "gas": hex(10**6)}, "latest", {**options, "limit": 1000})
    assert 5 < len(limited["structLogs"]) < 50


IDENTITY = "0x" + "00" * 19 + "04"
RETURN_42 = "0x602a5f5260205ff3"
CREATE = {"from": WHO, "data": RETURN_42}
LAST_NONCE = {WHO: {"nonce": "0xffffffffffffffff"}}


def ask_identity(who: str) -> str:
    """Code that calls `who` with two bytes and returns what comes back."""
    return f"0x5f5f60025f73{who[2:]}5afa3d5f5f3e3d5ff3"


@pytest.mark.parametrize("override", [{}, {"code": "0x"}, {"balance": "0x1"}, {"nonce": "0x1"}, {"stateDiff": {}}])
def test_any_override_takes_a_precompile_away(context, override):
    assert ask(context, "eth_call", {"to": IDENTITY, "data": "0x1234"}, "latest", {IDENTITY: override}) == "0x"
    assert ask(context, "eth_call", {"to": CODE}, "latest", {CODE: {"code": ask_identity(IDENTITY)}, IDENTITY: override}) == "0x"


def test_a_delegation_to_an_overridden_precompile_runs_its_code(context):
    state = {CODE: {"code": "0xef0100" + IDENTITY[2:]}, IDENTITY: {"code": RETURN_42}}
    caller = "0x00000000000000000000000000000000000c0de3"
    assert ask(context, "eth_call", {"to": CODE}, "latest", state) == "0x" + word(42)
    assert ask(context, "eth_call", {"to": caller}, "latest", {**state, caller: {"code": ask_identity(CODE)}}) == "0x" + word(42)
    assert ask(context, "eth_call", {"to": CODE}, "latest", {CODE: state[CODE]}) == "0x"  # EIP-7702: no code to run


@pytest.mark.parametrize(("asks", "gas"), [(IDENTITY, 0x527A), (CODE, 0x5C3E)])
def test_a_precompiles_address_stays_warm_and_its_new_one_is_cold(context, asks, gas):
    caller = "0x00000000000000000000000000000000000c0de3"
    state = {IDENTITY: {"movePrecompileToAddress": CODE}, caller: {"code": f"0x73{asks[2:]}3b5f5260205ff3"}}
    trace = ask(context, "debug_traceCall", {"to": caller}, "latest", {"tracer": "callTracer", "stateOverrides": state})
    assert int(trace["gasUsed"], 16) == gas + 2


def test_overrides_that_cannot_be_are_told_without_a_call(context):
    unmovable = {CODE: {"movePrecompileToAddress": IDENTITY}}
    refused = {"code": -32000, "message": "account 0x00000000000000000000000000000000000c0dE1 is not a precompile"}
    for method in ("eth_call", "eth_estimateGas", "eth_createAccessList"):
        assert ask(context, method, {"to": CODE}, "latest", unmovable) == refused
    assert ask(context, "debug_traceCall", {"to": CODE}, "latest", {"stateOverrides": unmovable}) == refused
    twice = {IDENTITY: {"movePrecompileToAddress": CODE}, SHA256: {"movePrecompileToAddress": CODE}}
    assert "is already overridden" in ask(context, "eth_call", {"to": CODE}, "latest", twice)["message"]


def test_nothing_is_created_after_the_last_nonce(context):
    overflow = {"code": -32000, "message": "nonce uint64 overflow"}
    assert ask(context, "eth_call", CREATE, "latest", LAST_NONCE) == overflow
    assert ask(context, "eth_estimateGas", CREATE, "latest", LAST_NONCE) == overflow
    trace = ask(context, "debug_traceCall", CREATE, "latest", {"tracer": "callTracer", "stateOverrides": LAST_NONCE})
    assert (trace["error"], trace["gasUsed"], "to" in trace) == ("nonce uint64 overflow", "0xcf8a", False)
    listed = ask(context, "eth_createAccessList", CREATE, "latest", LAST_NONCE)
    assert listed == {"accessList": [], "error": "nonce uint64 overflow", "gasUsed": "0xcf8a"}
    assert ask(context, "eth_call", CREATE, "latest", {WHO: {"nonce": "0xfffffffffffffffe"}}) == "0x" + word(42)


def test_a_call_at_the_last_nonce_goes_on_from_zero(context):
    options = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}, "stateOverrides": LAST_NONCE}
    trace = ask(context, "debug_traceCall", {"from": WHO, "to": CODE}, "latest", options)
    assert trace["pre"][WHO]["nonce"] == 2**64 - 1 and trace["post"] == {WHO: {}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"blobVersionedHashes": ["0x01" + "00" * 31]}, "blob transaction of type create"),
        ({"blobVersionedHashes": ["0x02" + "00" * 31], "to": CODE}, "blob 0 has invalid hash version"),
        ({"blobVersionedHashes": ["0x01" + "00" * 31], "to": CODE, "maxFeePerBlobGas": "0x" + "f" * 30}, "insufficient funds"),
        ({"value": "0x" + "f" * 30, "to": CODE, "gas": "0x1"}, "insufficient funds"),
    ],
)
def test_calls_are_held_to_what_their_parts_ask_for(context, fields, message):
    assert f"err: {message}" in ask(context, "eth_call", {"from": WHO, **fields})["message"]
    assert message in ask(context, "eth_estimateGas", {"from": WHO, **fields})["message"]
    assert f"tracing failed: {message}" in ask(context, "debug_traceCall", {"from": WHO, **fields}, "latest")["message"]


def test_a_traced_call_with_a_price_pays_the_base_fee_to_its_vault(context):
    vault = "0x4200000000000000000000000000000000000019"
    options = {"tracer": "prestateTracer", "tracerConfig": {"diffMode": True}}
    trace = ask(context, "debug_traceCall", {"from": WHO, "to": CODE, "gasPrice": "0x77359400"}, "latest", options)
    assert int(trace["post"][vault]["balance"], 16) - int(trace["pre"][vault]["balance"], 16) == 21_000 * 10**9


def test_a_receiver_above_256_bits_wraps_around_as_in_geth(context):
    state = {CODE: {"balance": "0x" + "f" * 64, "code": "0x475f5260205ff3"}}
    assert ask(context, "eth_call", {"from": WHO, "to": CODE, "value": "0x5"}, "latest", state) == "0x" + word(4)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"onlyTopCall": "x"}, "json: cannot unmarshal string into Go struct field callTracerConfig.onlyTopCall of type bool"),
        ([], "json: cannot unmarshal array into Go value of type native.callTracerConfig"),
    ],
)
def test_configurations_of_tracers_are_read_strictly(context, config, message):
    for options in ({"tracer": "callTracer", "tracerConfig": config}, {"tracer": "muxTracer", "tracerConfig": {"callTracer": config}}):
        assert ask(context, "debug_traceCall", {}, "latest", options) == {"code": -32000, "message": message}


def test_a_call_within_the_genesis_has_no_transaction_before_it(context):
    assert ask(context, "debug_traceCall", {}, "0x0", {"txIndex": "0x0"})["message"] == "no transaction in genesis"
