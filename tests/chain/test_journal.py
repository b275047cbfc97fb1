"""The pool's journal: what is in the file, what damage costs, and what a pool has again after a restart."""

import errno
import logging
import os
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2engine.chain.events import Origin
from l2engine.chain.journal import Entry, Journal
from l2engine.errors import ConfigError, JournalUnavailable
from tests.helpers.failing import file_size_limit

CHAIN = bytes(range(32))
ENTRIES = [Entry(1000.5 + n, Origin.LOCAL, bytes([2, n]) * (5 + n)) for n in range(9)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transactions.journal"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    opened = begin(path)
    yield opened
    opened.close()


def begin(path: Path, *entries: Entry, sync: bool = False) -> Journal:
    journal = Journal(path, CHAIN, sync)
    journal.rotate(lambda: entries)
    return journal


def read(path: Path) -> list[Entry]:
    journal = Journal(path, CHAIN)
    try:
        return journal.entries()
    finally:
        journal.close()


def written(path: Path) -> bytes:
    """The content of a journal of ENTRIES."""
    begin(path, *ENTRIES).close()
    return path.read_bytes()


def test_entries_come_back_in_order(path: Path, journal: Journal) -> None:
    for entry in ENTRIES:
        journal.append(entry)
    content = path.read_bytes()
    journal.close()
    path.write_bytes(content)
    assert read(path) == ENTRIES


def test_entries_are_in_the_file_at_once_and_for_the_owner_alone(path: Path, journal: Journal) -> None:
    journal.append(ENTRIES[0])
    assert path.read_bytes().endswith(b" 1000.500000 local " + b64encode(ENTRIES[0].raw) + b"\n")
    assert path.stat().st_mode & 0o777 == 0o600


def test_only_wanted_origins_are_written(path: Path) -> None:
    entries = [Entry(1.0, origin, b"\2" + origin.encode()) for origin in Origin]
    for origins, kept in (((Origin.LOCAL, Origin.CHAIN), {Origin.LOCAL, Origin.CHAIN}), (tuple(Origin), set(Origin))):
        journal = Journal(path, CHAIN, origins=origins)
        journal.rotate(lambda: entries[:1])
        for entry in entries[1:]:
            journal.append(entry)
        journal.close()
        assert {entry.origin for entry in read(path)} == kept
        begin(path).close()


@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_damaged_byte_costs_one_entry_at_most(tmp_path_factory: pytest.TempPathFactory, place: float, value: int) -> None:
    path = tmp_path_factory.mktemp("damaged") / "journal"
    content = bytearray(written(path))
    content[int(place * len(content))] = value
    path.write_bytes(content)
    found = read(path)
    assert len(found) >= len(ENTRIES) - 1
    assert found == [entry for entry in ENTRIES if entry in found]


@given(place=st.floats(0, 1))
def test_a_cut_file_keeps_its_whole_entries(tmp_path_factory: pytest.TempPathFactory, place: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "journal"
    content = written(path)
    head = content.index(b"\n") + 1
    kept = head + int(place * (len(content) - head))
    path.write_bytes(content[:kept])
    assert read(path) == ENTRIES[: content[head:kept].count(b"\n")]


@given(place=st.integers(0, len(ENTRIES)), rubbish=st.binary(min_size=1, max_size=9000))
def test_rubbish_between_entries_costs_none(tmp_path_factory: pytest.TempPathFactory, place: int, rubbish: bytes) -> None:
    path = tmp_path_factory.mktemp("rubbish") / "journal"
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[: 1 + place], rubbish, *lines[1 + place :]]))
    assert read(path) == ENTRIES


def test_a_hole_in_the_file_costs_only_what_it_covers(path: Path) -> None:
    lines = written(path).splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + bytes(3_000_000) + b"".join(lines[4:]))
    assert read(path) == [*ENTRIES[:2], *ENTRIES[3:]]


def test_a_torn_last_entry_is_cut_off_with_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(written(path)[:-3])
    with caplog.at_level(logging.WARNING):
        assert read(path) == ENTRIES[:-1]
    assert [record.getMessage() for record in caplog.records] == ["The transaction journal's last entry was cut short and is dropped"]


def test_damage_in_the_middle_is_a_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = bytearray(written(path))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert len(read(path)) == len(ENTRIES) - 1
    assert [record.getMessage() for record in caplog.records] == ["The transaction journal is damaged: its other entries are kept"]
    copy = path.with_name(f"{path.name}.damaged")
    assert caplog.records[0].__dict__["fields"] == {"damaged": 1, "kept": len(ENTRIES) - 1, "file": path, "copy": copy}
    begin(path).close()
    assert copy.read_bytes() == content


def test_a_sound_journal_and_none_at_all_give_no_warning(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read(path) == []
        path.touch()
        assert read(path) == []
        written(path)
        assert read(path) == ENTRIES
    assert not caplog.records


def test_rotation_drops_the_rest_and_keeps_what_comes_meanwhile(path: Path, journal: Journal) -> None:
    for entry in ENTRIES[:4]:
        journal.append(entry)

    def snapshot() -> list[Entry]:
        journal.append(ENTRIES[4])
        return ENTRIES[2:4]

    journal.rotate(snapshot)
    journal.append(ENTRIES[5])
    journal.close()
    assert read(path) == ENTRIES[2:6]
    assert {item.name for item in path.parent.iterdir()} == {path.name, f"{path.name}.lock"}


def test_nothing_is_lost_while_threads_append_and_rotate(path: Path) -> None:
    journal = begin(path, sync=True)
    accepted: list[Entry] = []

    def send(name: int) -> None:
        for n in range(100):
            entry = Entry(float(n), Origin.LOCAL, bytes([2, name, n]))
            journal.append(entry)
            accepted.append(entry)
            journal.settle()

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.rotate(lambda: list(accepted))
    journal.close()
    assert {entry.raw for entry in read(path)} == {entry.raw for entry in accepted} and len(accepted) == 400


def test_growth_asks_for_a_rotation(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr("l2engine.chain.journal.ROTATE_BYTES", 400)
    journal = begin(path)
    assert not journal.is_due
    while not journal.is_due:
        journal.append(ENTRIES[0])
    assert 400 <= path.stat().st_size < 500
    journal.rotate(lambda: ENTRIES, if_due=True)
    assert not journal.is_due  # until it has doubled
    size = path.stat().st_size
    journal.rotate(list, if_due=True)  # another thread, which has waited for this one
    assert path.stat().st_size == size
    journal.close()


# ---- what fails -----------------------------------------------------------------------------------------------------


def test_a_failed_write_is_an_error_and_leaves_what_was_there(path: Path, journal: Journal) -> None:
    journal.append(ENTRIES[0])
    with file_size_limit(path.stat().st_size + 20):
        for _ in range(2):
            with pytest.raises(JournalUnavailable, match="the transaction journal cannot be written: File too large"):
                journal.append(ENTRIES[1])
        assert read_copy(path) == ENTRIES[:1]
    journal.append(ENTRIES[2])
    assert read_copy(path) == [ENTRIES[0], ENTRIES[2]]


def test_a_failed_rotation_leaves_the_old_file_in_use(path: Path, journal: Journal) -> None:
    journal.append(ENTRIES[0])
    with file_size_limit(20), pytest.raises(JournalUnavailable, match="cannot be written anew: File too large"):
        journal.rotate(lambda: ENTRIES[:1])
    journal.append(ENTRIES[1])
    assert read_copy(path) == ENTRIES[:2]
    assert not path.with_name(f"{path.name}.new").exists()


def test_after_a_failed_fsync_nothing_is_settled_until_the_file_is_written_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel reports such a failure once, and forgets the pages."""
    journal = begin(path, sync=True)
    journal.append(ENTRIES[0])
    with monkeypatch.context() as failing:
        failing.setattr(os, "fsync", _fail)
        with pytest.raises(JournalUnavailable, match="Input/output error"):
            journal.settle()
    assert journal.is_due
    with pytest.raises(JournalUnavailable):
        journal.settle()
    with pytest.raises(JournalUnavailable):
        journal.append(ENTRIES[1])
    journal.rotate(lambda: ENTRIES[:1])
    journal.append(ENTRIES[1])
    journal.settle()
    journal.close()
    assert list(dict.fromkeys(entry.raw for entry in read(path))) == [entry.raw for entry in ENTRIES[:2]]


def _fail(descriptor: int) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_closed_journal_takes_nothing(path: Path) -> None:
    journal = begin(path)
    journal.close()
    with pytest.raises(JournalUnavailable, match="the node is stopping"):
        journal.append(ENTRIES[0])
    journal.rotate(lambda: ENTRIES)
    assert read(path) == []


def read_copy(path: Path) -> list[Entry]:
    """What a start would find now."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    return read(copy)


# ---- files that are not ours ----------------------------------------------------------------------------------------


def test_two_do_not_share_a_journal(path: Path, journal: Journal) -> None:
    with pytest.raises(ConfigError, match="is in use by another process"):
        Journal(path, CHAIN)
    journal.close()
    Journal(path, CHAIN).close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot open the transaction journal .*/none/here: No such file or directory"):
        Journal(tmp_path / "none" / "here", CHAIN)


def test_a_folder_in_place_of_the_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(ConfigError, match=r"cannot read the transaction journal .*: Is a directory"):
        read(path)


@pytest.mark.parametrize("content", [b"\xf8\x6b\x80" * 40, b"[settings]\nhttp = true\n", bytes(100)])
def test_another_file_is_refused_and_stays(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is no transaction journal"):
        read(path)
    assert path.read_bytes() == content


def test_another_chains_journal_is_set_aside(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = written(path)
    journal = Journal(path, bytes(32))
    assert journal.entries() == []
    journal.close()
    assert path.with_name(f"{path.name}.other-chain").read_bytes() == content
    assert "of another chain" in caplog.text
