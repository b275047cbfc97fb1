"""Calls, access lists and traces of small contracts given as overrides, on the reference and on the native executor."""

import json
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
    monkeypatch.setattr("l2engine.evm.tracers.steps.MAX_BYTES", 100_000)
    options = {"stateOverrides": {CODE: {"code": "0x5b5f56"}}}  # forever
    answer = ask(context, "debug_traceCall", {"to": CODE, "gas": hex(10**6)}, "latest", options)
    assert answer["code"] == -32003 and "more than 100000 bytes" in answer["message"]
    limited = ask(context, "debug_traceCall", {"to": CODE, "gas": hex(10**6)}, "latest", {**options, "limit": 1000})
    assert 5 < len(limited["structLogs"]) < 50
