"""One flipped bit in any file: the database is refused, or `verify` finds it, or nothing reads it. Never is it served."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from l2engine.errors import StoreError, StoreUnreadable
from l2engine.store.files import cut_damaged_logs
from l2engine.store.kv import LevelDB
from l2engine.store.native import NativeKeyValue, NativeState
from l2engine.store.state import LayeredState
from l2engine.store.verify import verify
from tests.store.damage import BLOCKS, Opening, copy, dump, each_store, flip, head_number, make_database, only, settle

FLIPS = {"*.ldb": 24, "*.log": 16, "MANIFEST-*": 12, "CURRENT": 12, "LOG": 2}


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("damage") / "whole"
    make_database(path)
    return path


@pytest.fixture(scope="module")
def rows(database, tmp_path_factory) -> list[tuple[bytes, bytes]]:
    kv = LevelDB(copy(database, tmp_path_factory.mktemp("rows") / "db"))
    try:
        assert list(verify(kv)) == [] and head_number(kv) == BLOCKS
        return dump(kv)
    finally:
        kv.close()


def outcome(opening: Opening, path: Path, rows: list[tuple[bytes, bytes]]) -> str:
    """The outcome of opening the directory; wrong answers fail the test."""
    try:
        kv = opening(path)
    except StoreError:
        return "refused"
    try:
        if list(verify(kv)):
            return "found"
        assert dump(kv) == rows, "rows differ, and verify does not see it"
        return "harmless"
    finally:
        kv.close()


@each_store
@pytest.mark.parametrize("pattern", FLIPS)
def test_flipped_bit_is_never_served(opening, pattern, database, rows, tmp_path) -> None:
    chance = random.Random(pattern)
    outcomes = []
    for number in range(FLIPS[pattern]):
        path = copy(database, tmp_path / str(number))
        file = chance.choice(sorted(path.glob(pattern)))
        flip(file, chance.randrange(file.stat().st_size * 8))
        outcomes.append(outcome(opening, path, rows))
    if pattern == "LOG":  # LevelDB's own diary, which nothing reads
        assert set(outcomes) == {"harmless"}
    elif pattern == "*.ldb":  # an opening reads few tables
        assert outcomes.count("harmless") <= FLIPS[pattern] // 6, outcomes
    else:
        assert set(outcomes) == {"refused"}, outcomes


def footer_and_filter(file: Path) -> range:
    """The bits of a table behind its data and before its index: the filter, and then, after the index, the footer."""
    content = file.read_bytes()
    footer = content[-48:]
    meta, at = varint(footer, 0)
    _, at = varint(footer, at)
    index, _ = varint(footer, at)
    return range(8 * (meta - 64), 8 * index)


def varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


@each_store
@pytest.mark.parametrize("part", ["filter and metaindex", "footer"])
def test_flip_in_what_no_row_needs_changes_no_answer(opening, part, database, rows, tmp_path) -> None:
    """A filter that fails its checksum is not used; the footer has no checksum, but all it leads to has one."""
    chance = random.Random(part)
    source = max(database.glob("*.ldb"), key=lambda file: file.stat().st_size)
    bits = footer_and_filter(source) if part != "footer" else range(8 * (source.stat().st_size - 48), 8 * source.stat().st_size)
    for number in range(16):
        path = copy(database, tmp_path / str(number))
        flip(path / source.name, chance.choice(bits))
        result = outcome(opening, path, rows)
        assert result == "harmless" or part == "footer", result


@each_store
def test_state_over_damaged_tables_is_refused_and_keeps_its_diffs(opening, database, tmp_path) -> None:
    """An unreadable diff is no reason to drop the diffs above it, which are acknowledged blocks."""
    path = copy(database, tmp_path / "db")
    settle(path)
    chance, refused = random.Random(3), 0
    for number in range(20):
        spoiled = copy(path, tmp_path / str(number))
        table = max(spoiled.glob("*.ldb"), key=lambda file: file.stat().st_size)
        bit = chance.randrange(table.stat().st_size * 8)
        flip(table, bit)
        try:
            kv = opening(spoiled)
        except StoreUnreadable:
            continue
        try:
            NativeState(kv) if isinstance(kv, NativeKeyValue) else LayeredState(kv)
        except StoreUnreadable:
            refused += 1
        finally:
            kv.close()
        flip(table, bit)
        kv = opening(spoiled)
        assert sum(1 for _ in kv.iterate(b"d", b"e")) == 5
        kv.close()
    assert refused


@each_store
@pytest.mark.parametrize("pattern", ["*.log", "MANIFEST-*"])
def test_damaged_length_is_no_torn_end(opening, pattern, database, tmp_path) -> None:
    """A length that reaches past the end of the file would make LevelDB drop this record and all behind it in silence."""
    content = only(database, pattern).read_bytes()
    at = len(content) - len(content) % 32768
    while True:  # the last block's first record that is not its last
        following = at + 7 + int.from_bytes(content[at + 4 : at + 6], "little")
        if following < len(content):
            break
        pytest.skip("the last block has one record only")
    for bit in range(16):
        path = copy(database, tmp_path / str(bit))
        flip(only(path, pattern), 8 * (at + 4) + bit)
        with pytest.raises(StoreUnreadable, match=rf"{only(path, pattern).name} is damaged at byte {at}: "):
            opening(path)


@each_store
def test_damaged_log_is_named_with_what_to_do(opening, database, tmp_path) -> None:
    path = copy(database, tmp_path / "db")
    log = only(path, "*.log")
    flip(log, 8 * 40_000)
    before = log.read_bytes()
    for _ in range(2):  # a refused opening changes nothing
        with pytest.raises(StoreUnreadable, match=rf"{log.name} is damaged at byte \d+: `l2engine db repair` drops"):
            opening(path)
        assert log.read_bytes() == before


@each_store
def test_damaged_manifest_and_current_are_named_with_what_to_do(opening, database, tmp_path) -> None:
    for pattern in ("MANIFEST-*", "CURRENT"):
        path = copy(database, tmp_path / pattern[:4])
        file = only(path, pattern)
        flip(file, 8 * 10)
        with pytest.raises(StoreUnreadable, match=rf"{file.name} is damaged.*: the chain must be imported again"):
            opening(path)


@each_store
def test_repair_drops_the_end_of_a_damaged_log(opening, database, tmp_path) -> None:
    path = copy(database, tmp_path / "db")
    log = only(path, "*.log")
    size = log.stat().st_size
    flip(log, 8 * (size * 2 // 3))
    (done,) = cut_damaged_logs(path)
    assert f"{log.name}: " in done and log.stat().st_size + (path / f"{log.name}.dropped").stat().st_size == size
    kv = opening(path)
    try:
        assert list(verify(kv)) == []
        assert BLOCKS * 2 // 3 < head_number(kv) < BLOCKS
    finally:
        kv.close()
    assert cut_damaged_logs(path) == []


def test_repair_leaves_other_damage_alone(database, tmp_path) -> None:
    path = copy(database, tmp_path / "db")
    flip(only(path, "MANIFEST-*"), 8 * 10)
    with pytest.raises(StoreUnreadable, match="imported again"):
        cut_damaged_logs(path)


@each_store
def test_torn_end_of_the_log_still_opens(opening, database, tmp_path) -> None:
    for cut in (1, 2, 5, 6, 7, 8, 30, 400):
        path = copy(database, tmp_path / str(cut))
        log = only(path, "*.log")
        with open(log, "r+b") as file:
            file.truncate(log.stat().st_size - cut)
        kv = opening(path)
        assert BLOCKS - 2 <= head_number(kv) <= BLOCKS
        kv.close()


@each_store
def test_missing_log_is_named_and_repair_goes_on_without_it(opening, database, tmp_path) -> None:
    """LevelDB takes it for an empty one, and the blocks in it are gone without a word."""
    path = copy(database, tmp_path / "db")
    log = only(path, "*.log")
    log.unlink()
    with pytest.raises(StoreUnreadable, match=f"{log.name} is missing: `l2engine db repair`"):
        opening(path)
    assert cut_damaged_logs(path) == [f"{log}: missing, and taken for empty"]
    kv = opening(path)
    try:
        assert list(verify(kv)) == [] and 0 < head_number(kv) < BLOCKS
    finally:
        kv.close()
    assert cut_damaged_logs(path) == []


@each_store
def test_missing_table_is_named(opening, database, tmp_path) -> None:
    path = copy(database, tmp_path / "db")
    table = min(path.glob("*.ldb"))
    table.unlink()
    with pytest.raises(StoreError, match=table.name):
        opening(path)


WRITER = """
import random, sys
from l2engine.store.kv import LevelDB
kv = LevelDB(sys.argv[1], write_buffer_mb=1)
while True:
    batch = kv.batch()
    batch.put(random.randbytes(8), random.randbytes(100_000))
    batch.write()
    print(flush=True)
"""


def test_killed_writer_misses_no_log(tmp_path) -> None:
    """The log that the manifest names is there at any moment, also while LevelDB begins a new one."""
    for turn in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(5 + turn):
                writer.stdout.readline()
            writer.kill()
        LevelDB(tmp_path).close()
