"""A disk that is full for a while, or for good: nothing acknowledged is lost, and with room the node goes on by itself."""

import gzip
import multiprocessing
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.evm.native import machine as native
from tests.helpers.datadir import verified_head
from tests.helpers.dying_engine import LimitedFiles, SmallDisk, feed
from tests.helpers.failing import file_size_limit
from tests.helpers.running import ROOT, RunningNode
from tests.helpers.transactions import transfer

BLOCKS = 300  # in chain_file
SECONDS = 20  # generous: tests share the machine
needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed")
each_executor = pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native)])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with 24 MB of room."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk cannot be mounted (it takes root)")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free)
    yield
    filler.unlink()


def send(node: RunningNode) -> None:
    """A transfer, which the dev chain makes a block of."""
    nonce = int(node.call("eth_getTransactionCount", "0x" + DEV_ACCOUNTS[0].address.hex(), "latest"), 16)
    node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())


def head(node: RunningNode) -> int:
    return int(node.call("eth_blockNumber"), 16)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(node: RunningNode) -> bool:
    """Whether the Engine API acknowledges nothing, not even the head that it has."""
    state = {name: node.call("eth_getBlockByNumber", "latest", False)["hash"] for name in ("headBlockHash",)}
    try:
        node.engine_call("engine_forkchoiceUpdatedV3", state, None)
    except RuntimeError as error:
        assert error.args[0]["code"] == -32000 and "IO error" in error.args[0]["message"]
        return True
    return False


def survive(evm: str, datadir: Path, full: Callable[[RunningNode], AbstractContextManager[None]]) -> None:
    with RunningNode("dev", f"--evm={evm}", "--cache=16", datadir=datadir) as node:
        for number in (1, 2, 3):
            send(node)
            wait_until(lambda number=number: head(node) == number)  # type: ignore[misc]
        with full(node):
            send(node)
            wait_until(lambda: refused(node))
            time.sleep(0.5)
            assert refused(node) and head(node) == 3
            assert int(node.call("eth_getBalance", "0x" + DEV_ACCOUNTS[1].address.hex(), "0x2"), 16) > 0
        wait_until(lambda: head(node) == 4)  # the waiting transaction, without anybody's call
        send(node)
        wait_until(lambda: head(node) == 5)
        node.kill()
    assert verified_head(datadir) == 5


@each_executor
def test_node_goes_on_when_files_may_grow_again(evm: str, tmp_path: Path) -> None:
    survive(evm, tmp_path, lambda node: file_size_limit(1000, node.process.pid))


@each_executor
def test_node_goes_on_when_the_disk_has_room_again(evm: str, small_disk: Path) -> None:
    survive(evm, small_disk / "data", lambda node: filled(small_disk))


class ImpatientNode(RunningNode):
    """It waits half a second for space, not a minute."""

    program = (
        "-c",
        "import sys; from l2engine.__main__ import main; from l2engine.chain import recovery; "
        "recovery.PATIENCE_SECONDS = recovery.LONGEST_PAUSE_SECONDS = 0.5; sys.exit(main(sys.argv[1:]))",
    )


@each_executor
def test_node_stops_with_status_1_when_no_room_comes(evm: str, tmp_path: Path) -> None:
    with ImpatientNode("dev", f"--evm={evm}", datadir=tmp_path) as node:
        send(node)
        wait_until(lambda: head(node) == 1)
        with file_size_limit(1000, node.process.pid):
            send(node)
            assert node.process.wait(SECONDS) == 1
    assert verified_head(tmp_path) == 1


@each_executor
def test_stop_without_room_has_status_1_and_loses_nothing(evm: str, tmp_path: Path) -> None:
    with RunningNode("dev", f"--evm={evm}", datadir=tmp_path) as node:
        send(node)
        wait_until(lambda: head(node) == 1)
        with file_size_limit(1000, node.process.pid):
            assert node.terminate() == 1
    assert verified_head(tmp_path) == 1


@each_executor
def test_import_without_room_stops_and_goes_on_later(evm: str, chain_file: tuple[Path, Path], tmp_path: Path) -> None:
    genesis, chain = chain_file
    words = ["import", f"--evm={evm}", "--genesis", str(genesis), "--datadir", str(tmp_path), str(chain)]

    def run(limit: int) -> subprocess.CompletedProcess[str]:
        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        command = [sys.executable, "-m", "l2engine", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, preexec_fn=limited)

    stopped = run(900_000)
    assert stopped.returncode == 1 and "Traceback" not in stopped.stderr
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("l2engine: stopped at block ") and last.endswith("File too large; run the command again to go on")
    assert 0 < int(last.split()[4].rstrip(":")) <= verified_head(tmp_path) < BLOCKS
    done = run(resource.RLIM_INFINITY)
    assert done.returncode == 0 and done.stdout.startswith(f"head: {BLOCKS} 0x")


def kill_on_full_disks(rounds: int, evm: str, kind: type[LimitedFiles | SmallDisk], folder: Path, chain_file: tuple[Path, Path]) -> None:
    """Kill an engine whose disk fills up again and again, a few blocks further each time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.dying_engine"])
    genesis, packed = chain_file
    chain = genesis.with_name("chain.rlp")
    chain.write_bytes(gzip.decompress(packed.read_bytes()))
    chance, acknowledged, complete, failures = random.Random(rounds), 0, 0, 0
    for number in range(rounds):
        datadir = folder / f"data{complete}"
        hears, tells = context.Pipe(duplex=False)
        process = context.Process(target=feed, args=(datadir, genesis, chain, evm, kind, number, tells))
        process.start()
        tells.close()
        wanted, ended = acknowledged + chance.randint(1, 30), False

        def hear(event: tuple[str, object]) -> None:
            nonlocal acknowledged, failures, ended
            assert event[0] != "crashed", event[1]
            if event[0] == "head":
                assert isinstance(event[1], int) and event[1] >= acknowledged
                acknowledged = event[1]
            failures += event[0] == "failed"
            ended = event[0] == "end"

        try:
            while acknowledged < wanted and not ended:
                assert hears.poll(60), "the engine hangs"
                hear(hears.recv())
            time.sleep(chance.random() * 0.02)
            process.kill()
            while True:
                hear(hears.recv())
        except EOFError:
            process.kill()
            process.join()
            assert ended or process.exitcode == -9, process.exitcode
        if ended or number % 10 == 9:
            (folder / "filler").unlink(missing_ok=True)
            assert verified_head(datadir) >= acknowledged
        if ended:
            assert acknowledged == BLOCKS
            shutil.rmtree(datadir)
            complete, acknowledged = complete + 1, 0
    assert failures > rounds / 4


@each_executor
def test_kills_on_a_full_disk_lose_nothing(evm: str, tmp_path: Path, chain_file: tuple[Path, Path]) -> None:
    kill_on_full_disks(4, evm, LimitedFiles, tmp_path, chain_file)


@pytest.mark.slow
@each_executor
def test_many_kills_with_limited_files_lose_nothing(evm: str, tmp_path: Path, chain_file: tuple[Path, Path]) -> None:
    kill_on_full_disks(50, evm, LimitedFiles, tmp_path, chain_file)


@pytest.mark.slow
@each_executor
def test_many_kills_on_a_small_disk_lose_nothing(evm: str, small_disk: Path, chain_file: tuple[Path, Path]) -> None:
    kill_on_full_disks(50, evm, SmallDisk, small_disk, chain_file)
