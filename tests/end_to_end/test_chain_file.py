"""--chain-file on the command line: a fork that the file schedules is in the ready line, and one that is not known stops the start."""

import json
import subprocess
import sys
from pathlib import Path

from genesis import loader
from tests.helpers.dev_chain import GENESIS_TIME, document

FAR = 4_000_000_000


def own_chain(tmp_path: Path, **forks: int) -> list[str]:
    """Arguments for a chain of a file: its genesis is the dev chain's."""
    found = document()
    (tmp_path / "genesis.json").write_text(json.dumps(found))
    genesis = loader.load(found)
    times = dict.fromkeys(("canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian"), 0)
    row = {
        "key": "sepolia/own",
        "name": "Own Testnet",
        "chain_id": genesis.config.chain_id,
        "genesis_hash": "0x" + genesis.hash.hex(),
        "genesis_time": GENESIS_TIME,
        "eip1559": [6, 50, 250],
        "forks": times | forks,
    }
    (tmp_path / "chains.json").write_text(json.dumps({"chains": [row]}))
    return ["--chain-file", str(tmp_path / "chains.json"), "--network", "own-sepolia", "--genesis", str(tmp_path / "genesis.json")]


def l2engine(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "l2engine", *arguments], capture_output=True, text=True, timeout=60)


def test_a_chain_of_the_file_is_initialised_by_its_name(tmp_path: Path):
    done = l2engine("init", "--datadir", str(tmp_path / "data"), *own_chain(tmp_path, karst=FAR))
    assert (done.returncode, done.stderr) == (0, "")
    assert "genesis hash: 0x" in done.stdout


def test_an_unknown_fork_of_the_file_that_has_begun_is_refused(tmp_path: Path):
    done = l2engine("init", "--datadir", str(tmp_path / "data"), *own_chain(tmp_path, neverland=GENESIS_TIME + 1))
    assert done.returncode == 1 and "neverland" in done.stderr


def test_a_mistake_in_the_file_is_one_line(tmp_path: Path):
    arguments = own_chain(tmp_path)
    (tmp_path / "chains.json").write_text('{"chains": [{"key": "sepolia/own", "chain_id": "x"}]}')
    done = l2engine("init", "--datadir", str(tmp_path / "data"), *arguments)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "chains.json: chain sepolia/own: chain_id must be a number" in done.stderr
