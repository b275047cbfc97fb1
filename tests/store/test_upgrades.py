"""Databases of earlier versions: upgraded in place, also after an interruption, or refused; those of 94a7e4a go on as they are."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from l2engine.errors import StoreError
from l2engine.store import schema, upgrades
from l2engine.store.kv import LevelDB, MemoryKeyValue
from l2engine.store.native import NativeKeyValue
from l2engine.store.verify import verify
from l2engine.types.payload import Status
from l2engine.types.storage import KeyValue
from tests.helpers.dev_chain import document, forkchoice, submit
from tests.helpers.in_process import InProcess
from tests.store.damage import BLOCKS, Opening, dump, each_store, head_number, make_blocks

FIRST_RELEASE = "94a7e4a"
ROWS = [b"c%08d" % number for number in range(10)]


class Interrupted(Exception):
    """The process is gone."""


def lengthen(kv: KeyValue, stop_after: int = 100) -> None:
    """An artificial step: every "c" row gets one more byte, a batch each, unless it has it."""
    for key, value in kv.iterate(b"c", b"d"):
        if len(value) == 1:
            if stop_after == 0:
                raise Interrupted
            stop_after -= 1
            batch = kv.batch()
            batch.put(key, value + b"+")
            batch.write()


@pytest.fixture
def old(tmp_path) -> Path:
    """A database of this version with some rows."""
    kv = LevelDB(tmp_path / "db")
    batch = kv.batch()
    for key in ROWS:
        batch.put(key, b"1")
    batch.write()
    kv.close()
    return tmp_path / "db"


def raise_version(monkeypatch, by: int, steps: dict[int, upgrades.Step]) -> int:
    """Let this program be so many versions further; the version that databases have had so far."""
    before = schema.VERSION
    monkeypatch.setattr(schema, "VERSION", before + by)
    monkeypatch.setattr(upgrades, "STEPS", {before + place: step for place, step in steps.items()})
    return before


@each_store
def test_older_database_is_upgraded_step_by_step(opening: Opening, old: Path, monkeypatch) -> None:
    seen = []
    before = raise_version(monkeypatch, 2, {0: lengthen, 1: lambda kv: seen.append(kv.get(schema.SCHEMA))})
    kv = opening(old)
    assert [kv.get(key) for key in ROWS] == [b"1+"] * len(ROWS)
    assert seen == [schema.schema_row(before + 1)] and kv.get(schema.SCHEMA) == schema.schema_row(before + 2)
    kv.close()
    opening(old).close()
    assert len(seen) == 1


@each_store
@pytest.mark.parametrize("done", [0, 1, 9, 10])
def test_interrupted_upgrade_goes_on(opening: Opening, done: int, old: Path, monkeypatch) -> None:
    def interrupted(kv: KeyValue) -> None:
        lengthen(kv, done)
        raise Interrupted

    before = raise_version(monkeypatch, 1, {0: interrupted})
    with pytest.raises(Interrupted):
        opening(old)
    monkeypatch.setattr(upgrades, "STEPS", {before: lengthen})
    kv = opening(old)
    assert [kv.get(key) for key in ROWS] == [b"1+"] * len(ROWS)
    assert kv.get(schema.SCHEMA) == schema.schema_row(before + 1)
    kv.close()


@each_store
def test_version_without_a_step_is_refused_unchanged(opening: Opening, old: Path, monkeypatch) -> None:
    called: list[KeyValue] = []
    raise_version(monkeypatch, 2, {0: called.append})
    with pytest.raises(StoreError, match="which this program no longer reads"):
        opening(old)
    assert called == []


def test_new_database_needs_no_upgrade(monkeypatch) -> None:
    raise_version(monkeypatch, 1, {})
    assert MemoryKeyValue().get(schema.SCHEMA) == schema.schema_row(schema.VERSION)


MAKE = """
import json, sys
from pathlib import Path
sys.modules["l2engine_native"] = None  # the core of that release is not built
import l2engine
assert Path(l2engine.__file__).is_relative_to(sys.argv[1]), l2engine.__file__
from l2engine.store.kv import LevelDB
from l2engine.types.block import decode_block
from tests.helpers.dev_chain import adopt, document, open_engine
blocks = [decode_block(bytes.fromhex(block)) for block in json.loads(Path(sys.argv[3]).read_text())]
for part in (blocks[:len(blocks) // 2], blocks[len(blocks) // 2:]):
    kv = LevelDB(sys.argv[2], write_buffer_mb=1)
    adopt(open_engine(document(), kv, layers=5), *part)
    kv.close()
"""


@pytest.fixture(scope="module")
def first_release(tmp_path_factory) -> Path:
    """The code of the first release, out of the history."""
    root = Path(__file__).resolve().parents[2]
    code: Path = tmp_path_factory.mktemp("first-release")
    archive = subprocess.run(["git", "archive", FIRST_RELEASE], cwd=root, capture_output=True, check=False)
    if archive.returncode:
        pytest.skip(f"this checkout's history does not have {FIRST_RELEASE}")
    subprocess.run(["tar", "x", "-C", code], input=archive.stdout, check=True)
    return code


@each_store
def test_database_of_the_first_release_goes_on(opening: Opening, first_release: Path, tmp_path) -> None:
    blocks, following = make_blocks()
    (tmp_path / "blocks").write_text(json.dumps([block.encode().hex() for block in blocks]))
    command = [sys.executable, "-c", MAKE, str(first_release), str(tmp_path / "db"), str(tmp_path / "blocks")]
    made = subprocess.run(command, cwd=first_release, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    kv = opening(tmp_path / "db")
    try:
        assert list(verify(kv)) == [] and head_number(kv) == BLOCKS
        node = InProcess(document(), kv, evm="native" if isinstance(kv, NativeKeyValue) else "py")
        assert submit(node.engine, following).status is Status.VALID
        node.engine.forkchoice_updated(forkchoice(following.header))
        assert list(verify(kv)) == [] and head_number(kv) == BLOCKS + 1
        assert kv.get(schema.SCHEMA) == schema.schema_row() and len(dump(kv)) > 1000
    finally:
        kv.close()
