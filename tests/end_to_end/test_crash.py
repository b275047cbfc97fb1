"""kill -9 at random moments: what was acknowledged is there, the database agrees with itself, the chain goes on."""

import json
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine import assembly
from l2engine.chain.sequencer import Sequencer
from l2engine.settings import Settings
from l2engine.store.blocks import BlockStore
from l2engine.store.kv import LevelDB
from l2engine.store.verify import verify
from tests.helpers.running import ROOT, RunningNode, l2engine
from tests.helpers.transactions import transfer

BLOCKS = 300
START_TIME = 1_700_000_000


@pytest.fixture(scope="module")
def chain_file(tmp_path_factory) -> tuple[Path, Path]:
    """A genesis and a chain of 300 blocks with a transaction each."""
    folder = tmp_path_factory.mktemp("chain")
    genesis, chain = folder / "genesis.json", folder / "chain.rlp.gz"
    genesis.write_text(json.dumps(dev_genesis("jovian", START_TIME)))
    opened = assembly.open_chain(Settings(datadir=folder / "data", genesis=genesis))
    with ThreadPoolExecutor(1) as thread:
        sequencer = Sequencer(opened.engine, thread)
        for number in range(BLOCKS):
            opened.engine.pool.add(transfer(DEV_ACCOUNTS[0], number, DEV_ACCOUNTS[number % 10].address, number))
            block = sequencer.make_block(START_TIME + number + 1)
            assert len(block.transactions) == 2
    opened.close()
    exported = l2engine("export", "--datadir", folder / "data", chain)
    assert exported.returncode == 0, exported.stderr
    return genesis, chain


def head_after_crash(datadir: Path) -> int:
    """The head's number in a database that nobody has open, after checking that all of it agrees."""
    kv = LevelDB(datadir / "chaindata")
    try:
        assert list(verify(kv)) == []
        blocks = BlockStore(kv)
        header = blocks.header(blocks.head or b"")
        assert header is not None
        return header.number
    finally:
        kv.close()


def kill_imports(rounds: int, chain_file: tuple[Path, Path], datadir: Path) -> None:
    """Kill an import again and again, a few blocks further each time; then let it end."""
    genesis, chain = chain_file
    command = [
        sys.executable,
        "-m",
        "l2engine",
        "import",
        "--genesis",
        genesis,
        "--datadir",
        datadir,
        "--log.format=json",
        "--verbosity=3",
        chain,
    ]
    chance = random.Random(rounds)
    head = 0
    for _ in range(rounds):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        wanted = head + chance.randint(0, 2 * BLOCKS // rounds)  # a process that is slow to start is killed in the middle of work, too
        acknowledged = head
        for line in process.stderr:
            if "Chain head was updated" in line:
                acknowledged = json.loads(line)["number"]
                if acknowledged >= wanted:
                    time.sleep(chance.random() * 0.02)
                    break
        process.kill()
        rest = process.communicate()[1]
        acknowledged = max(
            [
                acknowledged,
                *(json.loads(line)["number"] for line in rest.splitlines() if "Chain head was updated" in line and line[-1] == "}"),
            ]
        )
        head = head_after_crash(datadir)
        assert head >= acknowledged
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"head: {BLOCKS} 0x")
    assert head_after_crash(datadir) == BLOCKS


def kill_sequencers(rounds: int, datadir: Path) -> None:
    """Kill a dev chain that makes blocks as fast as it gets transactions."""
    chance = random.Random(rounds)
    nonce = acknowledged = 0
    for _ in range(rounds):
        with RunningNode("dev", "--verbosity=1", datadir=datadir) as node:
            assert int(node.call("eth_blockNumber"), 16) >= acknowledged
            nonce = int(node.call("eth_getTransactionCount", "0x" + DEV_ACCOUNTS[0].address.hex(), "latest"), 16)
            for _ in range(chance.randint(1, 6)):
                node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())
                nonce += 1
                acknowledged = int(node.call("eth_blockNumber"), 16)
            time.sleep(chance.random() * 0.02)
            node.kill()
        head = head_after_crash(datadir)
        assert head >= acknowledged
        acknowledged = head
    with RunningNode("dev", datadir=datadir) as node:
        nonce = int(node.call("eth_getTransactionCount", "0x" + DEV_ACCOUNTS[0].address.hex(), "latest"), 16)
        node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())
        deadline = time.monotonic() + 10
        while int(node.call("eth_blockNumber"), 16) == head and time.monotonic() < deadline:
            time.sleep(0.02)
        assert int(node.call("eth_blockNumber"), 16) == head + 1
        assert node.terminate(5) == 0


def test_import_survives_kills(chain_file, tmp_path):
    kill_imports(15, chain_file, tmp_path)


def test_sequencing_survives_kills(tmp_path):
    kill_sequencers(15, tmp_path)


@pytest.mark.slow
def test_import_survives_many_kills(chain_file, tmp_path):
    kill_imports(100, chain_file, tmp_path)


@pytest.mark.slow
def test_sequencing_survives_many_kills(tmp_path):
    kill_sequencers(100, tmp_path)


def test_import_of_a_damaged_file_keeps_what_was_good(chain_file, tmp_path):
    genesis, chain = chain_file
    (tmp_path / "cut.gz").write_bytes(chain.read_bytes()[:-2000])
    refused = l2engine("import", "--genesis", genesis, "--datadir", tmp_path / "data", tmp_path / "cut.gz")
    assert refused.returncode == 1 and "chain file" in refused.stderr
    assert 0 < head_after_crash(tmp_path / "data") < BLOCKS


def test_rewind_and_import_again(chain_file, tmp_path):
    genesis, chain = chain_file
    words = ("--genesis", genesis, "--datadir", tmp_path)
    assert l2engine("import", *words, chain).returncode == 0
    rewound = l2engine("rewind", "--datadir", tmp_path, "120")
    assert rewound.stdout.startswith("head: 120 0x")
    assert head_after_crash(tmp_path) == 120
    again = l2engine("import", *words, chain)
    assert again.stdout.startswith(f"head: {BLOCKS} 0x") and "120 were there already" in again.stderr
