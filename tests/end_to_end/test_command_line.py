"""The command line in awkward places: empty addresses, IPv6, pipes, signals, secrets, somebody else's database."""

import errno
import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from genesis.dev import dev_genesis
from l2engine.__main__ import main
from l2engine.errors import StoreError
from l2engine.node import Node
from l2engine.settings import Settings, parse_address
from l2engine.store.blocks import BlockStore
from l2engine.store.files import cut_damaged_logs
from l2engine.store.kv import LevelDB
from l2engine.store.leveldb_words import explain
from rpc.ports import auth
from tests.helpers.running import ROOT, RunningNode, l2engine
from tests.helpers.vectors import CASES, VECTORS, needs_cases, needs_vectors

LOOPBACK = "0100007F"
PLAIN = CASES / "reports/genesis-plain.json"


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@pytest.fixture(scope="module")
def genesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genesis") / "genesis.json"
    path.write_text(json.dumps(dev_genesis("isthmus", 1_700_000_000)))
    return path


def listening_on(process: int) -> set[str]:
    """The addresses on which a process listens, as the kernel writes them."""
    sockets = {os.readlink(link) for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets}


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "l2engine", *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


# ---- addresses ------------------------------------------------------------------------------------------------------


@needs_cases
def test_an_empty_address_is_this_machine(tmp_path: Path) -> None:
    """cli-http-addr-empty.txt, and the other two ports."""
    with RunningNode("run", "--genesis", PLAIN, "--http.addr", "", "--ws.addr=", "--authrpc.addr= ", datadir=tmp_path) as node:
        assert listening_on(node.process.pid) == {LOOPBACK}
        assert node.http.startswith("http://127.0.0.1:") and node.call("eth_blockNumber") == "0x0"


async def test_an_empty_address_of_an_embedded_node_is_this_machine(tmp_path: Path, genesis: Path) -> None:
    chosen = Settings(datadir=tmp_path, genesis=genesis, http=True, http_addr="", http_port=0, authrpc_addr="", authrpc_port=0)
    async with Node(chosen) as node:
        assert node.endpoints.http is not None and node.endpoints.http.startswith("http://127.0.0.1:")
        assert listening_on(os.getpid()) == {LOOPBACK}


@needs_cases
@needs_ipv6
@pytest.mark.parametrize("address", ["::1", "[::1]"])
def test_ipv6_is_a_url_in_the_ready_line(tmp_path: Path, address: str) -> None:
    """cli-ready-line-ipv6.txt."""
    with RunningNode(
        "run", "--genesis", PLAIN, *(f"--{name}.addr={address}" for name in ("http", "ws", "authrpc")), datadir=tmp_path
    ) as node:
        assert {urlsplit(url).hostname for url in (node.http, node.ws, node.engine)} == {"::1"}
        assert all(urlsplit(url).port for url in (node.http, node.ws, node.engine))
        assert node.call("eth_blockNumber") == "0x0"


@needs_ipv6
def test_a_taken_ipv6_port_is_told_as_a_url_has_it(tmp_path: Path, genesis: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        refused = l2engine("run", "--genesis", genesis, "--datadir", tmp_path, "--authrpc.addr=::1", f"--authrpc.port={port}")
    assert refused.returncode == 1 and f"cannot listen on [::1]:{port}: Address already in use" in refused.stderr


@pytest.mark.parametrize(
    ("text", "host"), [("", "127.0.0.1"), (" ", "127.0.0.1"), ("[::1]", "::1"), ("::", "::"), ("0.0.0.0", "0.0.0.0"), ("a.b", "a.b")]
)
def test_addresses(text: str, host: str) -> None:
    assert parse_address(text) == host


# ---- flags ----------------------------------------------------------------------------------------------------------


def test_one_dash_as_geth_takes_it() -> None:
    one = l2engine(
        "dumpconfig", "-http", "-http.port", "1", "-datadir=x", "-txpool.lifetime=1h", "-state.scheme", "hash", "-override.karst=9"
    )
    two = l2engine("dumpconfig", "--http", "--http.port", "1", "--datadir=x", "--txpool.lifetime=1h", "--override.karst=9")
    assert one.returncode == 0 and one.stdout == two.stdout != l2engine("dumpconfig").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dev", "--block-tim", "2"], "unknown flag --block-tim; did you mean --block-time?"),
        (["dev", "-fork-inn=1"], "unknown flag --fork-inn=1; did you mean --fork-in?"),
        (["dev", "--dependency-sets=1"], "did you mean --dependency-set?"),
        (["run", "-htpp"], "unknown flag --htpp; did you mean --http?"),
        (["statetest", "--json-traces", "x"], "did you mean --json-trace?"),
        (["db", "verify", "--al"], "did you mean --all?"),
        (["dev", "-block-time", "nan"], "--block-time: not a duration: 'nan'"),
    ],
)
def test_what_a_mistyped_flag_may_have_meant(words: Sequence[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2 and said in capsys.readouterr().err


def test_help_and_version_with_one_dash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-help"]) == 0 and "usage: l2engine" in capsys.readouterr().out
    assert main(["-version"]) == 0 and capsys.readouterr().out.startswith("l2engine ")


# ---- databases and secrets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["IO error: /d/LOCK: Permission denied", "IO error: /d/LOCK: Read-only file system"])
def test_a_lock_that_cannot_be_made_is_not_a_lock_that_is_held(tmp_path: Path, words: str) -> None:
    assert str(explain(str(tmp_path), words)) == f"cannot open database {tmp_path}: {words}"
    held = f"IO error: lock /d/LOCK: {os.strerror(errno.EAGAIN)}"
    assert str(explain(str(tmp_path), held)) == f"database {tmp_path} is in use by another process"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_elses_database_is_not_in_use(tmp_path: Path) -> None:
    LevelDB(tmp_path / "chaindata").close()
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises((StoreError, PermissionError), match="Permission denied"):
            LevelDB(tmp_path / "chaindata", create=False)
        with pytest.raises(PermissionError):
            cut_damaged_logs(tmp_path / "chaindata")
    finally:
        os.seteuid(0)


def test_a_secret_in_a_folder_that_is_missing_is_refused(tmp_path: Path, genesis: Path) -> None:
    wanted = tmp_path / "nowhere/jwt.hex"
    refused = l2engine("run", "--genesis", genesis, "--datadir", tmp_path / "data", "--authrpc.port=0", "--authrpc.jwtsecret", wanted)
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"l2engine: --authrpc.jwtsecret {wanted}: there is no folder {wanted.parent}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_named_secret_may_be_in_a_data_directory_that_is_new(tmp_path: Path, genesis: Path) -> None:
    wanted = tmp_path / "data/jwt.hex"
    with RunningNode("run", "--genesis", genesis, "--authrpc.jwtsecret", wanted, datadir=tmp_path / "data") as node:
        assert node.jwt_file == wanted and node.engine_call("eth_chainId") == hex(901)


def test_a_new_secret_is_told_once(tmp_path: Path, genesis: Path) -> None:
    told = []
    for _ in range(2):
        with RunningNode("run", "--genesis", genesis, datadir=tmp_path) as node:
            told.append([line["path"] for line in node.lines if line["msg"] == "Made a new JWT secret"])
    assert told == [[str(tmp_path / "jwtsecret")], []]


@pytest.mark.parametrize("content", ["", "\n", "  \r\n"])
def test_an_empty_secret_is_filled(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "jwt.hex"
    path.write_text(content)
    caplog.set_level("INFO")
    secret = auth.load_secret(path)
    assert len(secret) == 32 and auth.load_secret(path) == secret
    assert [record.getMessage() for record in caplog.records] == ["Made a new JWT secret"]


# ---- dev on other chains --------------------------------------------------------------------------------------------


@needs_vectors
def test_dev_refuses_a_registered_chain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    allocation = str(VECTORS / "superchain/genesis/mainnet/ink.json.zst")
    words = ["--network", "ink-mainnet", "--genesis", allocation, "--datadir", str(tmp_path)]
    assert main(["init", *words]) == 0
    head = l2engine("db", "stats", "--datadir", tmp_path).stdout
    capsys.readouterr()
    assert main(["dev", "--datadir", str(tmp_path)]) == 1
    assert f"{tmp_path} has Ink: dev makes blocks of its own" in capsys.readouterr().err
    assert l2engine("db", "stats", "--datadir", tmp_path).stdout == head


@needs_cases
def test_dev_refuses_a_chain_without_its_accounts_unless_it_is_named(tmp_path: Path) -> None:
    assert l2engine("init", "--genesis", PLAIN, "--datadir", tmp_path).returncode == 0
    refused = l2engine("dev", "--datadir", tmp_path)
    assert refused.returncode == 1 and "has chain 901, on which no account of dev's exists" in refused.stderr
    with RunningNode("dev", "--genesis", PLAIN, datadir=tmp_path) as node:
        assert node.call("eth_chainId") == hex(901)


def test_dev_goes_on_with_its_own_chain(tmp_path: Path) -> None:
    hashes = []
    for _ in range(2):
        with RunningNode("dev", datadir=tmp_path) as node:
            hashes.append(node.call("eth_getBlockByNumber", "earliest", False)["hash"])
            assert node.terminate() == 0
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("command", ["dev", "run", "import", "init"])
def test_a_wrong_genesis_leaves_nothing_behind(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(dev_genesis("jovian", 1_700_000_000) | {"extraData": "0x"}))
    words = [command, "--genesis", str(path), "--datadir", str(tmp_path / "data"), "--verbosity=0", "--authrpc.port=0"]
    assert main([*words, "chain.rlp"] if command == "import" else words) == 1
    assert capsys.readouterr().err == "l2engine: invalid genesis: extraData: Jovian extraData should be 17 bytes, got 0\n"
    assert [left.name for left in tmp_path.iterdir()] == ["genesis.json"]


# ---- logs and signals -----------------------------------------------------------------------------------------------


def test_verbosity_0_is_silent(tmp_path: Path, genesis: Path) -> None:
    process = start("run", "--genesis", genesis, "--datadir", tmp_path, "--authrpc.port=0", "--verbosity", "0", "--state.scheme=hash")
    secret = tmp_path / "jwtsecret"
    while not secret.exists() and process.poll() is None:
        pass
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "") and process.returncode in (0, 130)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_the_end_of_the_terminal_stops_a_node_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with RunningNode("dev") as node:
        folder = node.jwt_file.parent
        assert folder.is_dir()
        node.process.send_signal(number)
        assert node.process.wait(60) == 0
        assert not folder.exists()


def test_nohup_stays_in_force(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with RunningNode("dev", datadir=tmp_path) as node:
            node.process.send_signal(signal.SIGHUP)
            assert node.call("eth_chainId") == hex(901)
            assert node.terminate() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_stopped_export_leaves_no_file(tmp_path: Path, genesis: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    assert l2engine("init", "--genesis", genesis, "--datadir", tmp_path / "data").returncode == 0
    monkeypatch.setattr(BlockStore, "canonical_block", lambda store, block: os.kill(os.getpid(), number))
    assert main(["export", "--datadir", str(tmp_path / "data"), str(tmp_path / "out.rlp"), "0", "0"]) == 130
    assert [left.name for left in tmp_path.iterdir()] == ["data"]


# ---- import ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [True, False])
def test_import_from_a_pipe(chain_file: tuple[Path, Path], tmp_path: Path, packed: bool) -> None:
    """import-from-fifo.txt; gzipped and plain."""
    genesis, chain = chain_file
    pipe = tmp_path / "chain"
    os.mkfifo(pipe)
    writer = subprocess.Popen(["sh", "-c", f"{'cat' if packed else 'zcat'} {chain} > {pipe}"])
    imported = l2engine("import", "--datadir", tmp_path / "data", "--genesis", genesis, pipe)
    writer.wait()
    assert imported.returncode == 0 and imported.stdout.startswith("head: 300 0x")
    assert f"{pipe}: imported 300 blocks" in imported.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_an_import_that_waits_for_its_pipe(chain_file: tuple[Path, Path], tmp_path: Path, number: signal.Signals) -> None:
    genesis, chain = chain_file
    pipe = tmp_path / "chain"
    os.mkfifo(pipe)
    process = start("import", "--datadir", tmp_path / "data", "--genesis", genesis, pipe)
    with open(pipe, "wb") as writer:  # waits until the import has opened it
        writer.write(chain.read_bytes()[:2000])
        writer.flush()
        process.send_signal(number)
        printed = process.communicate(timeout=60)
    assert process.returncode == 130 and "run the command again to go on" in printed[1]


def test_a_damaged_chain_file_is_told_with_file_and_block(chain_file: tuple[Path, Path], tmp_path: Path) -> None:
    genesis, chain = chain_file
    content = gzip.decompress(chain.read_bytes())
    (tmp_path / "cut.rlp").write_bytes(content[:5000])
    cut = l2engine("import", "--datadir", tmp_path / "data", "--genesis", genesis, tmp_path / "cut.rlp")
    assert cut.returncode == 1
    count = int(cut.stderr.rpartition("cut.rlp, after ")[2].partition(" blocks: the chain file ends in the middle of a block")[0])
    assert count > 0
    (tmp_path / "odd.rlp").write_bytes(b"\xc3\x01\x02\x03")
    odd = l2engine("import", "--datadir", tmp_path / "data", tmp_path / "odd.rlp")
    assert odd.returncode == 1 and f"{tmp_path}/odd.rlp: the block after {count} does not decode: " in odd.stderr


def test_concurrent_signals_are_one(tmp_path: Path) -> None:
    """A terminal that closes sends SIGHUP, and its shell SIGTERM right after."""
    with RunningNode("dev", datadir=tmp_path) as node:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP):
            threading.Thread(target=node.process.send_signal, args=(number,)).start()
        assert node.process.wait(60) == 0
