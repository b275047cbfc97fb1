"""Log lines in the forms that operators' tools read."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from l2engine import logs

FIELDS: dict[str, Any] = {"number": 1_234_567, "chain": 11_155_420, "hash": bytes(range(32)), "mgas": 1.25, "err": "no way", "safe": None}
HASH = "0x" + bytes(range(32)).hex()


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield io.StringIO()
    root.setLevel(level)
    root.handlers[:] = handlers


def line(written: io.StringIO, form: str) -> str:
    logs.configure(form, 3, written)
    logging.getLogger("l2engine.test").info("Imported new potential chain segment", extra={"fields": FIELDS})
    return written.getvalue()


def test_terminal_lines_are_for_eyes(written: io.StringIO) -> None:
    text = line(written, "terminal")
    assert text.startswith("INFO [") and "] Imported new potential chain segment     number=1,234,567 " in text
    assert text.endswith(' chain=11155420 hash=0x000102..1d1e1f mgas=1.250 err="no way" safe=None\n')


def test_logfmt_lines_lose_nothing(written: io.StringIO) -> None:
    text = line(written, "logfmt")
    assert text.startswith("t=20") and ' lvl=info msg="Imported new potential chain segment" number=1234567 chain=11155420 ' in text
    assert f' hash={HASH} mgas=1.250 err="no way"' in text


def test_json_lines_keep_numbers(written: io.StringIO) -> None:
    found = json.loads(line(written, "json"))
    assert (found["lvl"], found["msg"], found["hash"]) == ("info", "Imported new potential chain segment", HASH)
    assert (found["number"], found["mgas"], found["safe"]) == (1_234_567, 1.25, None)


@pytest.mark.parametrize(
    ("verbosity", "told"),
    [(0, []), (1, ["E"]), (2, ["E", "W"]), (3, ["E", "W", "I"]), (4, ["E", "W", "I", "D"]), (9, ["E", "W", "I", "D"])],
)
def test_verbosity_is_geths(written: io.StringIO, verbosity: int, told: list[str]) -> None:
    logs.configure("terminal", verbosity, written)
    log = logging.getLogger("l2engine.test")
    for tell in (log.error, log.warning, log.info, log.debug):
        tell("words")
    assert [text[0] for text in written.getvalue().splitlines()] == told


def test_verbosity_0_silences_loggers_with_a_level_of_their_own(written: io.StringIO) -> None:
    own = logging.getLogger("l2engine.test.own")
    own.setLevel(logging.INFO)
    for verbosity, said in ((0, ""), (1, "words")):
        logs.configure("terminal", verbosity, written)
        own.info("words")
        logging.getLogger("l2engine.test").critical(said)
        assert said in written.getvalue() and bool(said) == bool(written.getvalue())


@pytest.mark.parametrize(("variable", "coloured"), [(None, True), ("", True), ("1", False), ("0", False)])
def test_no_color(variable: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch, written: io.StringIO) -> None:
    """https://no-color.org: any text but the empty one."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    if variable is not None:
        monkeypatch.setenv("NO_COLOR", variable)
    monkeypatch.setattr(written, "isatty", lambda: True)
    logs.configure("terminal", 3, written)
    logging.getLogger("l2engine.test").info("words")
    assert ("\033[" in written.getvalue()) == coloured


@pytest.mark.parametrize("form", ["terminal", "logfmt", "json"])
def test_errors_come_with_their_trace(written: io.StringIO, form: str) -> None:
    logs.configure(form, 3, written)
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("l2engine.test").exception("It broke")
    assert "ValueError: bad" in written.getvalue() and "It broke" in written.getvalue()


def test_a_flood_of_warnings_is_bounded() -> None:
    now = 0.0
    limit, log = logs.FloodLimit(lambda: now), logging.getLogger("l2engine.test")

    def shown(level: int, line: int = 7) -> Any:
        record = log.makeRecord(log.name, level, __file__, line, "bad request", (), None, extra={"fields": {"from": "a stranger"}})
        return logs.fields_of(record) if limit.filter(record) else None

    first = [shown(logging.WARNING) for _ in range(1000)]
    assert first == [{"from": "a stranger"}] * 19 + [{"from": "a stranger", "more": "left out"}] + [None] * 980
    assert shown(logging.ERROR, line=8) == {"from": "a stranger"}
    assert all(shown(logging.INFO, line=9) for _ in range(1000))
    now = 61.0
    assert shown(logging.WARNING) == {"from": "a stranger", "left_out": 980}
    assert shown(logging.WARNING) == {"from": "a stranger"}
    now = 200.0
    assert shown(logging.WARNING) == {"from": "a stranger"}


def test_the_log_has_the_bound(written: io.StringIO) -> None:
    logs.configure("json", 3, written)
    for _ in range(1000):
        logging.getLogger("l2engine.test").warning("bad request")
    assert len(written.getvalue().splitlines()) == logs.SAME_A_MINUTE
