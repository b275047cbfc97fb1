"""eth_call and eth_estimateGas around an executor that only pretends: arguments, overrides, errors and geth's gas search."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.errors import ExecutionTimeout, InvalidTransaction
from l2engine.refusals import Reason
from l2engine.types.execution import Call, CallResult
from l2engine.types.failure import Failure, FailureKind
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.methods.eth.calls import ESTIMATE_ERROR_RATIO, TX_GAS, _search
from rpc.registry import methods_for
from tests.rpc.chain import at_genesis

METHODS = methods_for(("eth",))
WHO, OTHER = "0x" + "11" * 20, "0x" + "22" * 20
ERROR_STRING = "08c379a0" + f"{32:064x}" + f"{5:064x}" + b"sorry".hex().ljust(64, "0")
PANIC = "4e487b71" + f"{0x11:064x}"


class Pretender:
    """Answers calls by a function of the message, and notes what it was given."""

    def __init__(self, answer: Callable[[Call], CallResult]) -> None:
        self.answer, self.calls = answer, []

    def prepare(self, *what: Any) -> None:
        pass

    def call(self, view: Any, env: Any, call: Call, overrides: Any = None, deadline: Any = None, tracer: Any = None) -> CallResult:
        self.calls.append((env, call, overrides))
        return self.answer(call)


OUT_OF_GAS, REVERTED = Failure(FailureKind.OUT_OF_GAS), Failure(FailureKind.REVERTED)


def result(success: bool = True, output: str = "", used: int = TX_GAS, failure: Failure | None = None) -> CallResult:
    return CallResult(success, bytes.fromhex(output), used, 0, failure)


def context(answer: Callable[[Call], CallResult], fork: str = "jovian") -> Context:
    where = at_genesis(fork=fork)
    where.executor = Pretender(answer)  # type: ignore[assignment]
    return where


def ask(where: Context, name: str, *params: Any) -> Any:
    answer = json.loads(handle(json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode(), METHODS, where))
    return answer.get("result", answer.get("error"))


def refuse(error: Exception) -> Callable[[Call], CallResult]:
    def answer(call: Call) -> CallResult:
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda call: result(output="01ff"), "0x01ff"),
        (lambda call: result(False, "", failure=OUT_OF_GAS), {"code": -32000, "message": "out of gas"}),
        (lambda call: result(False, "", failure=REVERTED), {"code": 3, "message": "execution reverted", "data": "0x"}),
        (
            lambda call: result(False, ERROR_STRING, failure=REVERTED),
            {"code": 3, "message": "execution reverted: sorry", "data": "0x" + ERROR_STRING},
        ),
        (
            lambda call: result(False, PANIC, failure=REVERTED),
            {"code": 3, "message": "execution reverted: arithmetic underflow or overflow", "data": "0x" + PANIC},
        ),
        (
            refuse(InvalidTransaction(Reason.INTRINSIC_GAS_TOO_LOW, have=256, want=21000)),
            {"code": -32000, "message": "err: intrinsic gas too low: have 256, want 21000 (supplied gas 256)"},
        ),
        (refuse(ExecutionTimeout()), {"code": -32000, "message": "execution aborted (timeout = 5s)"}),
    ],
)
def test_outcomes_of_calls(answer, expected):
    assert ask(context(answer), "eth_call", {"to": WHO, "gas": "0x100"}, "latest") == expected


def test_call_arguments_and_overrides_arrive():
    where = context(lambda call: result())
    args = {
        "from": WHO,
        "to": WHO,
        "value": "0x5",
        "input": "0x01",
        "data": "0x02",
        "maxFeePerGas": "0x9",
        "accessList": [{"address": WHO, "storageKeys": ["0x" + "22" * 32]}],
    }
    overrides = {
        WHO: {"balance": "0x7", "code": "0x60", "stateDiff": {"0x" + "00" * 32: "0x" + "00" * 31 + "03"}, "movePrecompileToAddress": OTHER}
    }
    assert ask(where, "eth_call", args, "latest", overrides, {"number": "0x64", "baseFeePerGas": "0x0", "feeRecipient": WHO}) == "0x"
    ((env, call, given_overrides),) = where.executor.calls
    who = bytes.fromhex(WHO[2:])
    assert (call.sender, call.to, call.value, call.data, call.max_fee_per_gas, call.gas) == (who, who, 5, b"\x01", 9, 50_000_000)
    assert call.access_list == ((who, (b"\x22" * 32,)),)
    assert (env.number, env.base_fee_per_gas, env.beneficiary) == (100, 0, who)
    override = given_overrides[who]
    assert (override.balance, override.code, override.state_diff, override.state, override.move_precompile_to) == (
        7,
        b"\x60",
        {0: 3},
        None,
        bytes.fromhex(OTHER[2:]),
    )


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"),
        ({"chainId": "0x1"}, "chainId does not match node's (have=1, want=901)"),
    ],
)
def test_contradictions_are_refused(args, message):
    assert ask(context(lambda call: result()), "eth_call", args, "latest") == {"code": -32000, "message": message}


def test_state_and_difference_exclude_each_other():
    answer = ask(
        context(lambda call: result()),
        "eth_call",
        {},
        "latest",
        {"0x00000000000000000000000000000000c0de0001": {"state": {}, "stateDiff": {}}},
    )
    assert answer["message"] == "account 0x00000000000000000000000000000000C0DE0001 has both 'state' and 'stateDiff'"


def test_the_block_is_the_latest_unless_named():
    where = context(lambda call: result())
    for params in ([{}], [{}, None], [{}, "latest"]):
        assert ask(where, "eth_call", *params) == "0x"
    for block in ({}, {"requireCanonical": True}, "0x5"):
        assert ask(where, "eth_call", {}, block) == {"code": -32000, "message": "header not found"}


def test_block_overrides_without_meaning_are_refused():
    for name, value in (("beaconRoot", "0x" + "11" * 32), ("withdrawals", [])):
        answer = ask(context(lambda call: result()), "eth_call", {}, "latest", {}, {name: value})
        assert answer["message"] == f'block override "{name}" is not supported for this RPC method'


def test_an_overridden_gas_limit_does_not_bound_estimates():
    where = context(lambda call: result(used=100_000))
    assert int(ask(where, "eth_estimateGas", {"data": "0x00"}, "latest", {}, {"gasLimit": "0x64"}), 16) >= 100_000
    assert where.executor.calls[0][0].gas_limit == 100


def needs(gas: int, used: int | None = None) -> Callable[[int], CallResult]:
    """A message that succeeds from `gas` on and reports `used`."""
    return lambda given: result(given >= gas, used=min(given, used or gas), failure=None if given >= gas else OUT_OF_GAS)


@given(st.integers(TX_GAS, 30_000_000), st.integers(0, 30_000_000))
def test_estimates_suffice_and_are_close(need, extra):
    attempt = needs(need)
    estimate = _search(attempt, min(need + extra, 50_000_000), plain_transfer=False)
    assert attempt(estimate).success
    assert estimate <= max(need / (1 - ESTIMATE_ERROR_RATIO) + 1, (need + 2300) * 64 // 63)


def test_plain_transfers_cost_exactly_their_price():
    assert ask(context(lambda call: result(used=TX_GAS)), "eth_estimateGas", {"to": WHO, "value": "0x0"}) == "0x5208"


def test_what_never_succeeds_has_no_estimate():
    out_of_gas = context(
        lambda call: result(False, failure=Failure(FailureKind.OUT_OF_GAS, "out of gas: not enough gas for reentrancy sentry"))
    )
    limit = out_of_gas.engine.head.gas_limit
    assert ask(out_of_gas, "eth_estimateGas", {"data": "0x00"})["message"] == f"gas required exceeds allowance ({limit})"
    assert ask(out_of_gas, "eth_estimateGas", {"data": "0x00", "gas": "0x186a0"})["message"] == "gas required exceeds allowance (100000)"
    reverts = context(lambda call: result(False, ERROR_STRING, failure=REVERTED))
    assert ask(reverts, "eth_estimateGas", {"data": "0x00"})["code"] == 3
    broke = context(refuse(InvalidTransaction(Reason.INSUFFICIENT_FUNDS, address=bytes(20), have=0, want=1)))
    assert ask(broke, "eth_estimateGas", {"data": "0x00"})["message"].startswith(f"failed with {limit} gas: insufficient funds")


def test_karst_bounds_estimates_by_the_transaction_gas_cap():
    seen: list[int] = []

    def answer(call: Call) -> CallResult:
        seen.append(call.gas)
        return result(used=100_000)

    ask(context(answer, "karst"), "eth_estimateGas", {"data": "0x00"})
    assert seen[0] == 1 << 24
    ask(context(answer, "jovian"), "eth_estimateGas", {"data": "0x00", "gas": "0x2000000"})
    assert max(seen[1:]) == 0x2000000
