"""Fixtures that several of these tests share."""

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine import assembly
from l2engine.dev.sequencer import Sequencer
from l2engine.settings import Settings
from tests.helpers.running import l2engine
from tests.helpers.transactions import transfer

BLOCKS = 300
START_TIME = 1_700_000_000


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """Commands set what signals do to their process, which here is that of the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def chain_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A genesis and a chain of 300 blocks with a transfer each, exported."""
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
