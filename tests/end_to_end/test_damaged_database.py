"""The message about a damaged database: one line that names the file, says what to do, and is right."""

from pathlib import Path

import pytest

from l2engine.store.kv import LevelDB
from tests.helpers.running import l2engine
from tests.store.damage import flip, make_database, only


@pytest.fixture
def datadir(tmp_path) -> Path:
    make_database(tmp_path / "chaindata")
    return tmp_path


def test_damaged_log_is_cut_by_repair(datadir) -> None:
    log = only(datadir / "chaindata", "*.log")
    flip(log, 8 * 20_000)
    refused = l2engine("db", "verify", "--datadir", datadir)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"{log.name} is damaged at byte " in refused.stderr and "`l2engine db repair`" in refused.stderr
    repaired = l2engine("db", "repair", "--datadir", datadir)
    assert repaired.returncode == 0 and f"kept in {log.name}.dropped" in repaired.stdout, repaired.stderr
    verified = l2engine("db", "verify", "--datadir", datadir)
    assert verified.returncode == 0 and verified.stdout.startswith("ok: "), verified.stdout
    assert l2engine("db", "repair", "--datadir", datadir).stdout == "ok: no log is damaged\n"


def test_damaged_table_is_found_by_verify_and_stops_export(datadir) -> None:
    LevelDB(datadir / "chaindata").close()  # moves the log into tables
    for table in (datadir / "chaindata").glob("*.ldb"):
        for at in range(0, table.stat().st_size * 9 // 10, 1000):
            flip(table, 8 * at)
    verified = l2engine("db", "verify", "--datadir", datadir)
    assert verified.returncode == 1 and "imported again into an empty directory" in verified.stdout + verified.stderr
    exported = l2engine("export", "--datadir", datadir, datadir / "chain.rlp")
    assert (exported.returncode, exported.stderr.count("\n")) == (1, 1) and not (datadir / "chain.rlp").exists()
    assert "Corruption: " in exported.stderr


def test_repair_of_a_database_in_use_is_refused(datadir) -> None:
    kv = LevelDB(datadir / "chaindata")
    try:
        refused = l2engine("db", "repair", "--datadir", datadir)
        assert refused.returncode == 1 and "in use by another process" in refused.stderr
    finally:
        kv.close()
