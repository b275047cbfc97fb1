"""What op-geth answered, asked again over HTTP of a running node, by the checker that comes with the recordings."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.running import RunningNode
from tests.helpers.vectors import VECTORS

CHECKER = VECTORS.parent / "tools" / "recording_check.py"
CHAINS = sorted(path.name for path in (VECTORS / "recordings").glob("*") if path.is_dir())
UPGRADES = sorted(path.name for path in (VECTORS / "recordings-upgrades").glob("*") if path.is_dir())
APIS = "--http.api=eth,net,web3,debug,txpool,miner,admin"

pytestmark = pytest.mark.skipif(not CHECKER.is_file(), reason=f"no checker at {CHECKER}")


def check(what: str, recording: Path, node: RunningNode) -> None:
    """Run one of the checker's tasks; its output is the assertion's message."""
    where = ["--url", node.http] if what in ("rpc", "receipts") else ["--engine", node.engine, "--jwt", str(node.jwt_file)]
    where += ["--url", node.http] if what == "walk" else []
    done = subprocess.run([sys.executable, CHECKER, what, recording, *where], capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def start(recording: Path, datadir: Path) -> RunningNode:
    return RunningNode("run", "--genesis", recording / "genesis.json", APIS, "--gcmode=archive", datadir=datadir)


@pytest.mark.parametrize("chain", CHAINS)
def test_payloads_receipts_rpc_and_mutated_payloads(chain, tmp_path):
    recording = VECTORS / "recordings" / chain
    with start(recording, tmp_path) as node:
        for what in ("payloads", "receipts", "rpc", "invalid"):
            check(what, recording, node)
        assert node.terminate(5) == 0


@pytest.mark.parametrize("chain", CHAINS)
def test_every_block_is_rebuilt_from_its_attributes(chain, tmp_path):
    recording = VECTORS / "recordings" / chain
    with start(recording, tmp_path) as node:
        check("rebuild", recording, node)


@pytest.mark.parametrize("chain", UPGRADES)
def test_chain_with_upgrades_and_scenarios(chain, tmp_path):
    recording = VECTORS / "recordings-upgrades" / chain
    with start(recording, tmp_path) as node:
        check("walk", recording, node)
