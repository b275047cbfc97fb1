"""Bodies in, bodies out: what op-geth answers to well-formed, malformed and batched requests."""

import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import InvalidAttributes, StoreError
from rpc.jsonrpc import Limits, Methods, handle, method
from rpc.read.values import Optional, boolean, integer, uint64


def fail(context: object) -> None:
    raise InvalidAttributes("missing beacon root")


def crash(context: object) -> None:
    raise ZeroDivisionError("a secret")


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else "bottom"


METHODS: Methods = {
    "eth_chainId": method(lambda context: "0x1"),
    "echo": method(lambda context, value: hex(value), uint64),
    "between": method(lambda context, a, b, c: b, uint64, Optional(uint64, 7), Optional(uint64)),
    "nested": method(lambda context, depth: nested(depth), integer),
    "last": method(lambda context, a, b: hex(b), Optional(uint64), uint64),
    "maybe": method(lambda context, a, b: [hex(a), b], uint64, Optional(boolean)),
    "fail": method(fail),
    "crash": method(crash),
    "long": method(lambda context: "x" * 100),
}
INVALID = {"code": -32600, "message": "invalid request"}


def ask(body: str | bytes, limits: Limits | None = None) -> object:
    answer = handle(body.encode() if isinstance(body, str) else body, METHODS, None, limits)
    return json.loads(answer) if answer else None


def error(code: int, message: str, request_id: object = 1, **more: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message, **more}}


def call(name: str, *params: object, **more: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": list(params), **more})


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"jsonrpc":"2.0","id":"abc","method":"eth_chainId"}', {"jsonrpc": "2.0", "id": "abc", "result": "0x1"}),
        ('{"jsonrpc":"2.0","id":null,"method":"eth_chainId","params":[]}', {"jsonrpc": "2.0", "id": None, "result": "0x1"}),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":null}', {"jsonrpc": "2.0", "id": 1, "result": "0x1"}),
        ('{"jsonrpc":"2.0","method":"eth_chainId"}', None),
        ('{"jsonrpc":"2.0","method":"crash"}', None),
        ("", None),
        ("{", error(-32700, "parse error", None)),
        (b"\xff\xfe", error(-32700, "parse error", None)),
        ("[" * 5000, error(-32700, "parse error", None)),
        ("[]", error(-32600, "empty batch", None)),
        ('"x"', {"jsonrpc": "2.0", "id": None, "error": INVALID}),
        ("1", {"jsonrpc": "2.0", "id": None, "error": INVALID}),
        ('{"jsonrpc":"2.0","id":1}', {"jsonrpc": "2.0", "id": 1, "error": INVALID}),
        ('{"id":5,"method":"eth_chainId","params":[]}', {"jsonrpc": "2.0", "id": 5, "error": INVALID}),
        ('{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', {"jsonrpc": "2.0", "id": 1, "error": INVALID}),
        ('{"jsonrpc":"2.0","id":{"a":1},"method":"eth_chainId"}', {"jsonrpc": "2.0", "id": None, "error": INVALID}),
        ('{"jsonrpc":"2.0","id":1,"method":7}', {"jsonrpc": "2.0", "id": 1, "error": INVALID}),
        ('{"jsonrpc":"2.0","id":1,"result":"0x1"}', None),
        ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}', error(-32602, "non-array args")),
        (call("nope"), error(-32601, "the method nope does not exist/is not available")),
        (call("echo"), error(-32602, "missing value for required argument 0")),
        (call("echo", "0x1", 2), error(-32602, "too many arguments, want at most 1")),
        (call("echo", "0x01"), error(-32602, "invalid argument 0: json: cannot unmarshal hex number with leading zero digits into Go value of type hexutil.Uint64")),
        (call("maybe", "0x1"), {"jsonrpc": "2.0", "id": 1, "result": ["0x1", None]}),
        (call("maybe", "0x1", True), {"jsonrpc": "2.0", "id": 1, "result": ["0x1", True]}),
        (call("maybe", "0x1", "yes"), error(-32602, "invalid argument 1: json: cannot unmarshal string into Go value of type bool")),
        (call("between", "0x1"), {"jsonrpc": "2.0", "id": 1, "result": 7}),
        (call("between", "0x1", None, "0x2"), {"jsonrpc": "2.0", "id": 1, "result": 7}),
        (call("last"), error(-32602, "missing value for required argument 1")),
        (call("echo", "x", 2), error(-32602, "invalid argument 0: json: cannot unmarshal hex string without 0x prefix into Go value of type hexutil.Uint64")),
        (call("fail"), error(-38003, "Invalid payload attributes", data={"err": "missing beacon root"})),
    ],
)  # fmt: skip
def test_single_requests(body, answer):
    assert ask(body) == answer


def test_answers_may_be_deep():
    """As deep as a trace of nested calls, which is deeper than orjson goes."""
    answer = handle(call("nested", 900).encode(), METHODS, None)
    assert answer.count(b"[") == answer.count(b"]") == 900


def test_batch_answers_in_order_and_leaves_out_notifications():
    batch = ",".join([call("eth_chainId"), call("nope"), '{"jsonrpc":"2.0","method":"eth_chainId"}', "5"])
    assert ask(f"[{batch}]") == [
        {"jsonrpc": "2.0", "id": 1, "result": "0x1"},
        error(-32601, "the method nope does not exist/is not available"),
        {"jsonrpc": "2.0", "id": None, "error": INVALID},
    ]
    assert ask('[{"jsonrpc":"2.0","method":"eth_chainId"}]') is None


def test_bodies_of_endless_values_are_not_read():
    body = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":[' + b"{}," * 300_000 + b"{}]}"
    assert ask(body) == error(-32600, "too many values", None)


def test_batch_limits():
    batch = "[" + ",".join([call("long")] * 4) + "]"
    assert ask(batch, Limits(batch_items=3)) == [error(-32600, "batch too large")]
    answers = ask(batch, Limits(batch_response_bytes=200))
    assert [("result" in answer) for answer in answers] == [True, False, False, False]
    assert answers[-1]["error"] == {"code": -32003, "message": "response too large"}
    assert len(ask(batch, Limits(0, 0))) == 4


def test_a_crash_is_logged_once_and_told_without_its_reason(caplog):
    with caplog.at_level(logging.ERROR):
        assert ask(call("crash")) == error(-32603, "method handler crashed")
    assert len(caplog.records) == 1
    assert "a secret" in caplog.text


def test_a_failing_database_is_logged_and_told(caplog):
    def fail(context):
        raise StoreError("No space left on device")

    answer = handle(b'{"jsonrpc":"2.0","id":1,"method":"fail"}', {"fail": method(fail)}, None)
    assert json.loads(answer) == error(-32000, "No space left on device")
    assert [(record.message, record.exc_info) for record in caplog.records] == [("Database error", None)]


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda v: st.lists(v) | st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params"]), v),
    ).map(lambda v: json.dumps(v).encode())
)
def test_any_body_gets_json_or_nothing(body):
    answer = handle(body, METHODS, None)
    assert not answer or json.loads(answer) is not None
