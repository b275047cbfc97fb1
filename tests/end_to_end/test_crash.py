"""kill -9 at random moments: what was acknowledged is there, the database agrees with itself, the chain goes on."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.evm.native import machine as native
from tests.helpers.datadir import verified_head
from tests.helpers.running import ROOT, RunningNode, l2engine
from tests.helpers.transactions import transfer

BLOCKS = 300  # in chain_file
needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed")
each_executor = pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native)])


def updates(lines: Iterable[str]) -> Iterator[int]:
    """The head's number in each line of the log that acknowledges one; a line that the kill cut short does not count."""
    for line in lines:
        if "Chain head was updated" in line and line.endswith("}\n"):
            yield json.loads(line)["number"]


def kill_imports(rounds: int, evm: str, chain_file: tuple[Path, Path], folder: Path) -> None:
    """Kill an import again and again, a few blocks further each time, until so many kills have hit; then let it end."""
    genesis, chain = chain_file
    chance = random.Random(rounds)
    killed = complete = head = 0

    def command() -> list[str]:
        words = ("import", f"--evm={evm}", "--genesis", genesis, "--datadir", folder / str(complete), "--log.format=json", "--verbosity=3")
        return [sys.executable, "-m", "l2engine", *map(str, words), str(chain)]

    while killed < rounds:
        process = subprocess.Popen(command(), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        wanted = head + chance.randint(0, 2 * BLOCKS // rounds)
        acknowledged = next((number for number in updates(process.stderr) if number >= wanted), head)
        time.sleep(chance.random() * 0.02)
        process.kill()
        acknowledged = max([acknowledged, *updates(process.communicate()[1].splitlines(keepends=True))])
        head = verified_head(folder / str(complete))
        assert head >= acknowledged
        if process.returncode == 0:  # it was faster than the kill: begin again
            assert head == BLOCKS
            complete, head = complete + 1, 0
        else:
            killed += 1
    done = subprocess.run(command(), cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"head: {BLOCKS} 0x")
    assert verified_head(folder / str(complete)) == BLOCKS


def kill_sequencers(rounds: int, evm: str, datadir: Path) -> None:
    """Kill a dev chain that makes blocks as fast as it gets transactions."""
    chance = random.Random(rounds)
    nonce = acknowledged = 0
    for _ in range(rounds):
        with RunningNode("dev", f"--evm={evm}", "--verbosity=1", datadir=datadir) as node:
            assert mine_waiting(node) >= acknowledged
            assert int(node.call("eth_getTransactionCount", "0x" + DEV_ACCOUNTS[0].address.hex(), "latest"), 16) == nonce
            for _ in range(chance.randint(1, 6)):
                node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())
                nonce += 1
                acknowledged = int(node.call("eth_blockNumber"), 16)
            time.sleep(chance.random() * 0.02)
            node.kill()
        head = verified_head(datadir)
        assert head >= acknowledged
        acknowledged = head
    with RunningNode("dev", f"--evm={evm}", datadir=datadir) as node:
        head = mine_waiting(node)
        assert int(node.call("eth_getTransactionCount", "0x" + DEV_ACCOUNTS[0].address.hex(), "latest"), 16) == nonce
        node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())
        deadline = time.monotonic() + 60
        while int(node.call("eth_blockNumber"), 16) == head and time.monotonic() < deadline:
            time.sleep(0.02)
        assert int(node.call("eth_blockNumber"), 16) == head + 1
        assert node.terminate() == 0


def mine_waiting(node: RunningNode) -> int:
    """Wait until the transactions that were accepted before the kill are mined; the head's number."""
    deadline = time.monotonic() + 60
    while int(node.call("txpool_status")["pending"], 16):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(node.call("eth_blockNumber"), 16)


@each_executor
def test_import_survives_kills(evm, chain_file, tmp_path):
    kill_imports(8, evm, chain_file, tmp_path)


@each_executor
def test_sequencing_survives_kills(evm, tmp_path):
    kill_sequencers(8, evm, tmp_path)


@pytest.mark.slow
@each_executor
def test_import_survives_many_kills(evm, chain_file, tmp_path):
    kill_imports(60, evm, chain_file, tmp_path)


@pytest.mark.slow
@each_executor
def test_sequencing_survives_many_kills(evm, tmp_path):
    kill_sequencers(60, evm, tmp_path)


def test_import_of_a_damaged_file_keeps_what_was_good(chain_file, tmp_path):
    genesis, chain = chain_file
    (tmp_path / "cut.gz").write_bytes(chain.read_bytes()[:-2000])
    refused = l2engine("import", "--genesis", genesis, "--datadir", tmp_path / "data", tmp_path / "cut.gz")
    assert refused.returncode == 1 and "chain file" in refused.stderr
    assert 0 < verified_head(tmp_path / "data") < BLOCKS


def test_set_finalized(chain_file, tmp_path):
    genesis, blocks = chain_file
    assert l2engine("import", "--genesis", genesis, "--datadir", tmp_path, blocks).returncode == 0
    done = l2engine("db", "set-finalized", "100", "--datadir", tmp_path)
    assert done.returncode == 0 and [line.split(" 0x")[0] for line in done.stdout.splitlines()] == ["safe: 100", "finalized: 100"]
    with RunningNode("run", datadir=tmp_path) as node:
        assert node.call("eth_getBlockByNumber", "finalized", False)["number"] == hex(100)
    for words, said in (
        (["set-finalized"], "needs the number"),
        (["verify", "5"], "takes no number"),
        (["set-finalized", "10000"], "not on"),
    ):
        refused = l2engine("db", *words, "--datadir", tmp_path)
        assert refused.returncode == 1 and said in refused.stderr


def test_rewind_and_import_again(chain_file, tmp_path):
    genesis, chain = chain_file
    words = ("--genesis", genesis, "--datadir", tmp_path)
    assert l2engine("import", *words, chain).returncode == 0
    rewound = l2engine("rewind", "--datadir", tmp_path, "120")
    assert rewound.stdout.startswith("head: 120 0x")
    assert verified_head(tmp_path) == 120
    again = l2engine("import", *words, chain)
    assert again.stdout.startswith(f"head: {BLOCKS} 0x") and "120 were there already" in again.stderr
