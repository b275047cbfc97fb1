"""Byte stores: both behave alike, and a LevelDB directory that is not ours to open is refused."""

import json
import resource
import subprocess
import sys
import threading

import plyvel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.errors import StoreError
from l2engine.store import schema
from l2engine.store.kv import LevelDB, MemoryKeyValue
from tests.helpers.vectors import VECTORS, needs_vectors

KEYS = st.sampled_from([b"a", b"ab", b"b", b"c\x00", b"c\xff"])
CHANGES = st.lists(st.lists(st.tuples(KEYS, st.none() | st.binary(max_size=3)), max_size=4), max_size=8)


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_both_stores_and_their_snapshots_answer_like_a_dictionary(tmp_path_factory, batches) -> None:
    level = LevelDB(tmp_path_factory.mktemp("db") / "level")
    try:
        for kv in (MemoryKeyValue(), level):
            model: dict[bytes, bytes] = {}
            pictures = []
            for changes in batches:
                batch = kv.batch()
                for key, value in changes:
                    if value is None:
                        batch.delete(key)
                        model.pop(key, None)
                    else:
                        batch.put(key, value)
                        model[key] = value
                batch.write(sync=len(changes) == 2)
                pictures.append((kv.snapshot(), dict(model)))
            for picture, then in [*pictures, (kv, model)]:
                assert list(picture.iterate(b"a", b"d")) == sorted(then.items())
                assert list(picture.iterate(b"ab", b"c\xff", reverse=True)) == sorted(
                    ((key, value) for key, value in then.items() if b"ab" <= key < b"c\xff"), reverse=True
                )
                assert all(picture.get(key) == then.get(key) for key in (b"a", b"ab", b"b", b"c\x00", b"c\xff"))
    finally:
        level.close()


@needs_vectors
def test_neighbours_of_keys(tmp_path) -> None:
    """TrieTests' walks along keys: how rows of the state are found in order."""
    case = json.loads((VECTORS / "ethereum-tests/TrieTests/trietestnextprev.json").read_text())["basic"]
    level = LevelDB(tmp_path / "level")
    for kv in (MemoryKeyValue(), level):
        batch = kv.batch()
        for key in case["in"]:
            batch.put(b"s" + key.encode(), b"value")
        batch.write()
        for key, before, after in case["tests"]:
            row = b"s" + key.encode()
            smaller, greater = kv.iterate(b"s", row, reverse=True), kv.iterate(row + b"\0", b"t")
            assert [next(rows, (b"s", b""))[0][1:].decode() for rows in (smaller, greater)] == [before, after], key
    level.close()


def test_memory_drops_versions_that_nobody_can_read() -> None:
    kv = MemoryKeyValue()
    for value in (b"1", b"2", b"3"):
        batch = kv.batch()
        batch.put(b"key", value)
        batch.write()
    assert len(kv._versions[b"key"]) == 1


def test_long_in_memory_iteration_survives_writes_of_another_thread() -> None:
    kv = MemoryKeyValue()
    batch = kv.batch()
    for number in range(2000):
        batch.put(number.to_bytes(2, "big"), b"old")
    batch.write()
    rows = kv.snapshot().iterate(b"", b"\xff")
    next(rows)
    writer = kv.batch()
    for number in range(3000):
        writer.put(number.to_bytes(2, "big"), b"new")
    thread = threading.Thread(target=writer.write)
    thread.start()
    thread.join()
    assert [value for key, value in rows if key < b"m"] == [b"old"] * 1999


def test_second_opening_in_the_same_process_is_refused(tmp_path) -> None:
    first = LevelDB(tmp_path / "db")
    (tmp_path / "link").symlink_to(tmp_path / "db")
    with pytest.raises(StoreError, match="already open in this process"):
        LevelDB(tmp_path / "link")
    first.close()
    LevelDB(tmp_path / "db").close()


def test_opening_in_another_process_is_refused(tmp_path) -> None:
    code = f"from l2engine.store.kv import LevelDB; db = LevelDB({str(tmp_path / 'db')!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout and other.stdout.readline() == "open\n"
        with pytest.raises(StoreError, match="in use by another process"):
            LevelDB(tmp_path / "db")
        other.communicate("\n")
    LevelDB(tmp_path / "db").close()


def test_data_of_another_program_is_refused(tmp_path) -> None:
    with plyvel.DB(str(tmp_path), create_if_missing=True) as foreign:
        foreign.put(b"LastBlock", b"geth")
    with pytest.raises(StoreError, match="another program"):
        LevelDB(tmp_path)
    with pytest.raises(StoreError, match="another program"):  # the refused opening has let go of it
        LevelDB(tmp_path)


def test_directory_with_other_files_is_refused(tmp_path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with pytest.raises(StoreError, match=r"not an l2engine database.*holiday\.jpg"):
        LevelDB(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_newer_schema_is_refused(tmp_path) -> None:
    LevelDB(tmp_path).close()
    with plyvel.DB(str(tmp_path)) as newer:
        newer.put(schema.SCHEMA, schema.schema_row(schema.VERSION + 1))
    with pytest.raises(StoreError, match=f"schema version {schema.VERSION + 1}"):
        LevelDB(tmp_path)


def test_missing_directory_is_refused_when_not_to_be_created(tmp_path) -> None:
    with pytest.raises(StoreError, match="no database"):
        LevelDB(tmp_path / "none", create=False)


def test_damaged_files_are_told(tmp_path) -> None:
    level = LevelDB(tmp_path / "level", write_buffer_mb=1)
    batch = level.batch()
    for number in range(3000):
        batch.put(b"%05d" % number, number.to_bytes(4) * 300)
    batch.write()
    level.close()
    LevelDB(tmp_path / "level").close()  # moves the log into tables
    for file in (tmp_path / "level").glob("*.ldb"):
        content = file.read_bytes()
        file.write_bytes(b"\xff" * (len(content) // 2) + content[len(content) // 2 :])
    level = LevelDB(tmp_path / "level", create=False)
    for read in (level.get, level.snapshot().get):
        with pytest.raises(StoreError, match=r"^Corruption: "):
            read(b"00001")
    for source in (level, level.snapshot()):
        for reverse in (False, True):
            with pytest.raises(StoreError, match=r"^Corruption: "):
                list(source.iterate(b"0", b"1", reverse))
    level.close()


@pytest.mark.parametrize("sync", [False, True])
def test_a_full_disk_is_told_and_harms_nothing(tmp_path, sync) -> None:
    level = LevelDB(tmp_path / "level")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    batch = level.batch()
    batch.put(b"a", b"x" * 1_000_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # stands in for a disk without room
    try:
        with pytest.raises(StoreError, match=r"^IO error: .*File too large"):
            batch.write(sync=sync)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    level.close()
    level = LevelDB(tmp_path / "level")
    batch = level.batch()
    batch.put(b"b", b"later")
    batch.write(sync=sync)
    assert (level.get(b"a"), level.get(b"b")) == (None, b"later")
    level.close()
