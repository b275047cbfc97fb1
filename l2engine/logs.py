"""Log lines in geth's three forms: terminal, logfmt and JSON.

Modules log a plain message and pass the facts separately: `log.info("Imported new potential chain segment", extra={"fields":
{"number": 7, "hash": header.hash}})`. Bytes become hex; the terminal form shortens hashes and groups digits, the others do not.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

TRACE = 5
_SILENT = logging.CRITICAL + 1
_LEVELS = {0: _SILENT, 1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG, 5: TRACE}
_NAMES = {
    logging.CRITICAL: "CRIT",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARN",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
    TRACE: "TRACE",
}
_COLOURS = {"CRIT": 35, "ERROR": 31, "WARN": 33, "INFO": 32, "DEBUG": 36, "TRACE": 34}
_NAMES_BY_NUMBER = frozenset(("chain",))  # their digits are not grouped
SAME_A_MINUTE = 20  # warnings or errors from one place in the code
_MESSAGE_WIDTH = 40  # the same as geth's, so that the fields begin in one column


def configure(form: str = "terminal", verbosity: int = 3, stream: TextIO | None = None) -> None:
    """Send the program's log to `stream` (standard error) in one of the forms terminal, logfmt, json."""
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_FORMS[form](stream.isatty() and not os.environ.get("NO_COLOR")))  # https://no-color.org
    handler.addFilter(FloodLimit())
    logging.addLevelName(TRACE, "TRACE")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[max(0, min(verbosity, 5))])
    if verbosity <= 0:
        handler.setLevel(_SILENT)  # also for a logger with a level of its own
    for chatty in ("asyncio", "aiohttp.access", "eth", "urllib3"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # it warns of what clients ask for


class FloodLimit(logging.Filter):
    """Bounds the warnings and errors from one line of code, so that strangers who cause them cannot fill a disk.

    The last one of a minute that is shown says `more="left out"`, the first one afterwards how many were `left_out`.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._since: dict[tuple[str, int], tuple[float, int]] = {}
        """By place in the code: when its minute began, and how many records came since."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        began, count = self._since.get(place, (now, 0))
        told: dict[str, Any] = {}
        if now - began >= 60:
            told = {"left_out": count - SAME_A_MINUTE} if count > SAME_A_MINUTE else {}
            began, count = now, 0
        self._since[place] = began, count + 1
        if count + 1 == SAME_A_MINUTE:
            told = {"more": "left out"}
        if told:
            vars(record)["fields"] = {**fields_of(record), **told}
        return count < SAME_A_MINUTE


class Terminal(logging.Formatter):
    """`INFO [11-21|07:44:17.000] Imported new potential chain segment   number=1 hash=0x12ab34..cd56ef`"""

    def __init__(self, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        name = _level(record)
        stamp = time.strftime("%m-%d|%H:%M:%S", time.localtime(record.created))
        text, message = f"{name:<5}", record.getMessage()
        fields = fields_of(record)
        pairs = [f"{key}={_quote(full(value) if key in _NAMES_BY_NUMBER else short(value))}" for key, value in fields.items()]
        if self._colour:
            code = _COLOURS[name]
            text = f"\033[{code}m{text}\033[0m"
            pairs = [f"\033[{code}m{pair.partition('=')[0]}\033[0m={pair.partition('=')[2]}" for pair in pairs]
        line = f"{text}[{stamp}.{int(record.msecs):03d}] {message:<{_MESSAGE_WIDTH if pairs else 0}}"
        return " ".join([line, *pairs]) + _trace(self, record)


class Logfmt(logging.Formatter):
    """`t=2026-11-21T07:44:17.000+0000 lvl=info msg="Imported new potential chain segment" number=1`"""

    def __init__(self, colour: bool = False) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        fields = {"t": _iso(record), "lvl": _level(record).lower(), "msg": record.getMessage(), **fields_of(record)}
        return " ".join(f"{key}={_quote(full(value))}" for key, value in fields.items()) + _trace(self, record)


class Json(logging.Formatter):
    """One JSON object a line, with the keys t, lvl, msg and the fields; a traceback is the field `trace`."""

    def __init__(self, colour: bool = False) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        fields = {"t": _iso(record), "lvl": _level(record).lower(), "msg": record.getMessage(), **fields_of(record)}
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return json.dumps({key: value if isinstance(value, int | float | bool | None) else full(value) for key, value in fields.items()})


_FORMS = {"terminal": Terminal, "logfmt": Logfmt, "json": Json}


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """The facts that were passed with a message."""
    found: Mapping[str, Any] = getattr(record, "fields", {})
    return found


def full(value: Any) -> str:
    """A value as text, complete."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def short(value: Any) -> str:
    """A value as text for people: a hash as 0x with its first and last three bytes, digits in groups."""
    if isinstance(value, bytes) and len(value) == 32:
        return f"0x{value[:3].hex()}..{value[-3:].hex()}"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 100_000:
        return f"{value:,}"
    return full(value)


def _level(record: logging.LogRecord) -> str:
    return _NAMES.get(record.levelno, "INFO")


def _iso(record: logging.LogRecord) -> str:
    stamp = time.localtime(record.created)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', stamp)}.{int(record.msecs):03d}{time.strftime('%z', stamp)}"


def _quote(text: str) -> str:
    return json.dumps(text) if not text or any(c in ' ="\n\t' for c in text) else text


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return "\n" + formatter.formatException(record.exc_info) if record.exc_info else ""
