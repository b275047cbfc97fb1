"""The verdict on messages from several filters: all must agree, and enough of them must answer."""

import time
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from typing import Any

import pytest

from l2engine.errors import PoolError
from l2engine.refusals import Reason
from rpc.errors import RpcError
from rpc.ports import message_filters
from rpc.ports.forward import Unreachable
from rpc.ports.message_filters import FAILSAFE_ON, MessageFilters

KEYS = [b"\x01" * 32, b"\x03" * 32]
CONFLICT, FUTURE = -320600, -321401
ANSWER_SECONDS = 0.2


@pytest.fixture(autouse=True)
def short_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_filters, "ANSWER_SECONDS", ANSWER_SECONDS)


def says(code: int = 0, failsafe: Any = False) -> Callable[[str, list[Any]], Any]:
    """A filter that gives an error's code, or 0 for valid."""

    def ask(name: str, params: list[Any]) -> Any:
        if name == "admin_getFailsafeEnabled":
            return failsafe
        if code:
            raise RpcError(code, "refused")
        return None

    return ask


def silent(name: str, params: list[Any]) -> Any:
    raise Unreachable("no answer")


def late(name: str, params: list[Any]) -> Any:
    time.sleep(2 * ANSWER_SECONDS)


def verdict(*asks: Any, wanted: int = 0) -> Reason | None:
    """The reason for which the filters refuse, None when they accept."""
    filters = MessageFilters(asks, 901, "cross-unsafe", wanted)
    try:
        filters.check(KEYS, 1_800_000_000)
    except PoolError as error:
        return error.reason
    finally:
        filters.close()
    return None


@pytest.mark.parametrize(
    ("asks", "wanted", "reason"),
    [
        ([says()], 0, None),
        ([says(CONFLICT)], 0, Reason.MESSAGES_INVALID),
        ([says(FUTURE)], 0, Reason.MESSAGES_INVALID),
        ([says(FAILSAFE_ON)], 0, Reason.MESSAGES_FAILSAFE),
        ([says(-32000)], 0, Reason.MESSAGES_UNCHECKED),
        ([silent], 0, Reason.MESSAGES_UNCHECKED),
        ([late], 0, Reason.MESSAGES_UNCHECKED),
        ([says(), says()], 0, None),
        ([says(), silent], 0, Reason.MESSAGES_UNCHECKED),
        ([says(), silent], 1, None),
        ([late, says()], 1, None),
        ([says(CONFLICT), late], 1, Reason.MESSAGES_INVALID),
        ([says(), says(CONFLICT)], 0, Reason.MESSAGES_DISPUTED),
        ([says(CONFLICT), says(FUTURE)], 0, Reason.MESSAGES_INVALID),
        ([says(), says(FAILSAFE_ON)], 0, Reason.MESSAGES_FAILSAFE),
        ([silent, late, says()], 2, Reason.MESSAGES_UNCHECKED),
        ([says(), says()], 5, None),  # more than there are means all
    ],
)
def test_verdict(asks: list[Any], wanted: int, reason: Reason | None):
    assert verdict(*asks, wanted=wanted) is reason


def test_what_a_filter_is_asked():
    asked: list[Any] = []
    filters = MessageFilters([lambda *call: asked.append(call)], 901, "cross-safe")
    filters.check(KEYS, 1_800_000_000)
    descriptor = {"chainID": "0x385", "timestamp": "0x6b49d200", "timeout": "0x1c20"}
    assert asked == [("interop_checkAccessList", [["0x" + key.hex() for key in KEYS], "cross-safe", descriptor])]


def test_the_failsafe_of_one_filter_refuses_everything_until_all_say_that_it_is_off():
    state: list[Any] = [True, False]
    filters = MessageFilters([lambda *_: state[0], lambda *_: state[1]], 901, "cross-unsafe")
    filters.look_at_failsafe()
    assert filters.failsafe
    with pytest.raises(PoolError, match="interop failsafe is active"):
        filters.check(KEYS, 1)
    state[0] = "nonsense"  # no answer to the question
    filters.look_at_failsafe()
    assert filters.failsafe
    state[0] = False
    filters.look_at_failsafe()
    assert not filters.failsafe
    filters.check(KEYS, 1)


def test_a_late_filter_does_not_hold_up_the_others():
    began = time.monotonic()
    assert verdict(late, says(), wanted=1) is None
    assert time.monotonic() - began < ANSWER_SECONDS


@pytest.fixture
def port_of_nobody() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), object)  # type: ignore[arg-type]
    port = server.server_address[1]
    server.server_close()
    yield port


def test_a_filter_that_is_not_there(port_of_nobody: int):
    filters = MessageFilters.at([f"http://127.0.0.1:{port_of_nobody}"], 901, "cross-unsafe")
    with pytest.raises(PoolError, match="0 of 1 filters answered"):
        filters.check(KEYS, 1)
