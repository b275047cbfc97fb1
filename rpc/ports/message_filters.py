"""--rollup.interop-http: asks filters that follow other chains whether the messages of a transaction are valid.

Every filter is asked at once. A verdict is needed from `wanted` of them, and all verdicts must agree; the failsafe of a single one
refuses everything. Sources: digest 10; op-reth's interop filter; the error codes of the OP specs' interop/supervisor.md.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from l2engine.chain.interop import VALID_SECONDS
from l2engine.errors import PoolError
from l2engine.refusals import Reason
from l2engine.types.base import Hash32, Timestamp
from rpc.errors import RpcError
from rpc.ports.forward import Unreachable, forwarder

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
AT_ONCE = 32  # requests to filters
QUIET_SECONDS = 60.0  # between two warnings about filters that do not answer
FAILSAFE_ON = -320602
VERDICTS = {
    -320500: "data was skipped or pruned and is not available",
    -320501: "unsupported chain id",
    -320600: "conflicting data exists in the database",
    -320601: "data is already known and didn't change anything",
    -320900: "data is out of order (too old or new)",
    -320901: "waiting for replacement block before progress can be made",
    -32901: "invalidated read",
    -321000: "rewind failed",
    -321100: "data access not allowed due to limited scope",
    -321200: "cannot get parent of first block in database",
    -321401: "data is not yet available (from the future)",
    -321500: "data may exist but was not found (possibly different revision)",
    -321501: "underlying database has I/O issues or is corrupted",
}
"""The codes with which a filter says that a message is invalid; all others mean that it could not decide."""

Ask = Callable[[str, list[Any]], Any]


class MessageFilters:
    """Implements `l2engine.chain.interop.MessageFilter` over JSON-RPC filters."""

    def __init__(self, asks: Sequence[Ask], chain_id: int, safety: str, wanted: int = 0) -> None:
        self._asks, self._chain_id, self._safety = asks, chain_id, safety
        self._wanted = min(wanted, len(asks)) or len(asks)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="interop")
        self._failsafe = False
        self._warned_at = -QUIET_SECONDS

    @classmethod
    def at(cls, urls: Sequence[str], chain_id: int, safety: str, wanted: int = 0) -> "MessageFilters":
        """Filters at these URLs; `wanted` 0 needs an answer from each."""
        return cls([forwarder(url, ANSWER_SECONDS, "the interop filter") for url in urls], chain_id, safety, wanted)

    @property
    def failsafe(self) -> bool:
        return self._failsafe

    def close(self) -> None:
        """Ask nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def check(self, keys: Sequence[Hash32], timestamp: Timestamp) -> None:
        if self._failsafe:
            raise PoolError(Reason.MESSAGES_FAILSAFE)
        message = {"chainID": hex(self._chain_id), "timestamp": hex(timestamp), "timeout": hex(VALID_SECONDS)}
        params = [["0x" + key.hex() for key in keys], self._safety, message]
        valid, invalid = 0, []
        for answered in self._answers("interop_checkAccessList", params):
            for answer in answered:
                code = _code(answer)
                if code == FAILSAFE_ON:
                    self._failsafe = True
                    raise PoolError(Reason.MESSAGES_FAILSAFE)
                valid += code == 0
                if code in VERDICTS:
                    invalid.append(VERDICTS[code])
            if valid + len(invalid) >= self._wanted:
                break
        if valid + len(invalid) < self._wanted:
            self._warn(valid + len(invalid))
            raise PoolError(Reason.MESSAGES_UNCHECKED, answers=valid + len(invalid), wanted=self._wanted)
        if valid and invalid:
            raise PoolError(Reason.MESSAGES_DISPUTED, valid=valid, invalid=len(invalid))
        if invalid:
            raise PoolError(Reason.MESSAGES_INVALID, why=invalid[0])

    def look_at_failsafe(self) -> None:
        """A single filter turns the failsafe on; off needs all of them, since one that is silent might have it on."""
        answers = 0
        for answered in self._answers("admin_getFailsafeEnabled", []):
            for answer in answered:
                if _code(answer) == 0 and isinstance(answer.result(), bool):
                    answers += 1
                    if answer.result():
                        self._failsafe = True
                        return
        if answers == len(self._asks):
            self._failsafe = False

    def _answers(self, name: str, params: list[Any]) -> Iterator[set[Future[Any]]]:
        """The answers of all filters as they come, several at a time; those that are late are left out."""
        waiting = {self._threads.submit(ask, name, params) for ask in self._asks}
        ends = time.monotonic() + ANSWER_SECONDS
        while waiting:
            done, waiting = wait(waiting, max(0.0, ends - time.monotonic()), FIRST_COMPLETED)
            if not done:
                return
            yield done

    def _warn(self, answers: int) -> None:
        now = time.monotonic()
        if now - self._warned_at >= QUIET_SECONDS:
            self._warned_at = now
            said = "Transactions that execute messages are refused: too few interop filters answer"
            log.warning(said, extra={"fields": {"answers": answers, "wanted": self._wanted, "filters": len(self._asks)}})


def _code(answer: Future[Any]) -> int | None:
    """0 for a result, the error's code for an error; None without an answer."""
    error = answer.exception()
    if isinstance(error, Unreachable):
        return None
    if isinstance(error, RpcError):
        return error.code
    if error is not None:
        raise error
    return 0
