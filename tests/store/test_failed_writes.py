"""LevelDB at the limit of its files, in both stores: a failed write is the last one until the directory is reopened."""

import threading
import time
from pathlib import Path

import pytest

from l2engine.errors import ConfigError, StoreError, StoreUnavailable
from l2engine.store.kv import LevelDB
from l2engine.store.native import NativeKeyValue
from l2engine.store.room import has_room
from l2engine.types.storage import KeyValue
from tests.helpers.failing import file_size_limit

LIMIT = 100_000


def opened(kind: type, path: Path) -> KeyValue:
    try:
        kv: KeyValue = kind(path, write_buffer_mb=4)
    except ConfigError as error:
        pytest.skip(str(error))
    return kv


@pytest.fixture(params=[LevelDB, NativeKeyValue])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> KeyValue:
    found = opened(request.param, tmp_path / "db")
    request.addfinalizer(found.close)
    return found


def put(kv: KeyValue, key: bytes, value: bytes, sync: bool = False) -> None:
    batch = kv.batch()
    batch.put(key, value)
    batch.write(sync=sync)


def fill(kv: KeyValue) -> list[bytes]:
    """Write until it fails; the keys that were taken."""
    taken: list[bytes] = []
    with file_size_limit(LIMIT), pytest.raises(StoreUnavailable, match=r"^IO error: .*File too large"):
        while len(taken) < 200:
            put(kv, b"k%03d" % len(taken), b"v" * 5000)
            taken.append(b"k%03d" % len(taken))
    assert 5 < len(taken) < 25 and "File too large" in (kv.failure or "")
    return taken


@pytest.mark.parametrize("sync", [False, True])
def test_writes_after_a_failed_one_are_refused_and_reads_go_on(kv: KeyValue, sync: bool) -> None:
    taken = fill(kv)
    with pytest.raises(StoreUnavailable, match="File too large"):
        put(kv, b"later", b"", sync)
    assert [key for key, _ in kv.iterate(b"k", b"l")] == taken
    assert kv.get(b"later") is None and kv.snapshot().get(taken[-1]) is not None


def test_reopened_database_has_all_that_was_taken_and_takes_more(kv: KeyValue) -> None:
    taken = fill(kv)
    kv.reopen()
    assert kv.failure is None
    put(kv, b"later", b"value")
    path, kind = kv.path, type(kv)  # type: ignore[attr-defined]
    kv.close()
    again = opened(kind, path)
    assert [key for key, _ in again.iterate(b"k", b"l")] == taken and again.get(b"later") == b"value"
    again.close()


def test_what_was_begun_before_reopening_is_refused(kv: KeyValue) -> None:
    put(kv, b"a", b"1")
    put(kv, b"b", b"2")
    snapshot, rows, snapshot_rows, batch = kv.snapshot(), kv.iterate(b"", b"\xff"), kv.snapshot().iterate(b"", b"\xff"), kv.batch()
    next(rows)
    kv.reopen()
    for begun in (rows, snapshot_rows, snapshot.iterate(b"", b"c")):
        with pytest.raises(StoreUnavailable):
            list(begun)
    with pytest.raises(StoreUnavailable):
        snapshot.get(b"a")
    del snapshot, rows, snapshot_rows, batch, begun
    assert kv.get(b"a") == kv.snapshot().get(b"a") == b"1"


def test_readers_beside_a_reopening_get_values_or_clear_errors(kv: KeyValue) -> None:
    for number in range(2000):
        put(kv, b"%05d" % number, b"v" * 100)
    stop, wrong, reads = threading.Event(), [], [0]

    def read() -> None:
        while not stop.is_set():
            try:
                snapshot = kv.snapshot()
                found = [kv.get(b"00001"), snapshot.get(b"01000"), len(list(snapshot.iterate(b"00500", b"01000")))]
                if found != [b"v" * 100, b"v" * 100, 500]:
                    wrong.append(found)
                reads[0] += 1
            except StoreUnavailable:
                pass
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    for number in range(25):
        kv.reopen()
        while reads[0] <= number and not wrong and time.monotonic() < deadline:
            time.sleep(0.001)  # until somebody has read all between two reopenings
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and reads[0] >= 25


def test_reopening_that_fails_can_be_tried_again(kv: KeyValue) -> None:
    taken = fill(kv)
    with file_size_limit(10):
        assert not kv.has_room()
        with pytest.raises(StoreError):
            kv.reopen()
        with pytest.raises(StoreUnavailable):
            kv.get(taken[0])
        with pytest.raises(StoreUnavailable):
            put(kv, b"later", b"")
    assert kv.has_room()
    kv.reopen()
    assert [key for key, _ in kv.iterate(b"k", b"l")] == taken


def test_failure_of_a_background_compaction_stops_the_writes(kv: KeyValue) -> None:
    """Tables are written behind the writer's back; what they fail to hold is still in the logs."""
    tables = [Path(kv.path, f"{number:06}.ldb") for number in range(4, 12)]  # type: ignore[attr-defined]
    for table in tables:
        table.mkdir()  # where LevelDB wants to write a file
    taken, value = [], bytes(range(256)) * 400
    with pytest.raises(StoreUnavailable, match=r"\.ldb: Is a directory"):
        for number in range(400):
            put(kv, b"k%03d" % number, value)
            taken.append(b"k%03d" % number)
    for table in tables:
        table.rmdir()
    kv.reopen()
    assert [key for key, _ in kv.iterate(b"k", b"l")] == taken and len(taken) > 30


def test_room_is_probed_without_leaving_a_file(tmp_path: Path) -> None:
    (tmp_path / "000003.log").write_bytes(bytes(1 << 20))
    assert has_room(str(tmp_path))
    with file_size_limit((2 << 20) - 1):
        assert not has_room(str(tmp_path))
    assert not has_room(str(tmp_path / "none"))
    assert [path.name for path in tmp_path.iterdir()] == ["000003.log"]
