"""Each mistake at the command line gets one clear line and exit status 1, or 2 for wrong usage; never a traceback."""

import gzip
import io
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from genesis import loader
from genesis.dev import dev_genesis
from l2engine.__main__ import main
from l2engine.commands import import_
from l2engine.commands.progress import Progress
from l2engine.store.blocks import BlockStore

Fails = Callable[..., str]


@pytest.fixture(scope="module")
def genesis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("genesis") / "genesis.json"
    path.write_text(json.dumps(dev_genesis("isthmus", 1_700_000_000)))
    return path


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fails]:
    """Runs a command in an empty folder; the one line that it ends with."""
    monkeypatch.chdir(tmp_path)

    def fails(*words: str | Path, status: int = 1) -> str:
        try:
            got = main([str(word) for word in words])
        except SystemExit as exit_:  # argparse
            got = int(exit_.code or 0)
        (line,) = capsys.readouterr().err.splitlines()
        assert got == status
        assert line.startswith("l2engine")
        return line

    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield fails
    root.setLevel(level)
    root.handlers[:] = handlers  # commands set up the log of their process


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--htpp.port=1"], "unknown flag --htpp.port=1; did you mean --http.port?"),
        (["dev", "--fork", "nope"], "invalid choice: 'nope'"),
        (["dev", "--block-time", "nan"], "--block-time: not a duration: 'nan'"),
        (["dev", "--http.port", "99999"], "--http.port: not a port: '99999'"),
        (["run", "--cache", "-5"], "--cache: not a number: '-5'"),
        (["run", "--rpc.txfeecap", "much"], "not an amount: 'much'"),
        (["run", "--rpc.txfeecap", "9" * 400], "not an amount: '99999"),
        (["run", "--cache", "4294967296"], "--cache: too many megabytes: '4294967296'"),
        (["run", "--txpool.globalslots", "18446744073709551616"], "not a number of 64 bits: '18446744073709551616'"),
        (["run", "--override.karst", "\u0663"], "not a number: '\u0663'"),
        (["run", "--datadir", ""], "--datadir/--data-dir: an empty path"),
        (["run", "--authrpc.jwtsecret="], "--authrpc.jwtsecret/--authrpc.jwt-secret: an empty path"),
        (["run", "--http.addr", "x" * 64], "--http.addr: not an address: 'xxx"),
        (["rewind", "-1"], "NUMBER: not a number: '-1'"),
        (["export", "chain.rlp", "one"], "FIRST: not a number: 'one'"),
        (["import"], "arguments are required: CHAIN.rlp"),
        (["db", "nope"], "invalid choice: 'nope'"),
    ],
)
def test_wrong_usage(fails: Fails, words: list[str], said: str) -> None:
    line = fails(*words, status=2)
    assert said in line and line.endswith(f"(see `l2engine {words[0]} --help`)")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dev", "--block-time", "0"], "--block-time must be more than 0 seconds"),
        (["dev", "--network", "op-sepolia"], "`l2engine run --network` follows a registered one"),
        (["dumpconfig", "--config", "nowhere.toml"], "cannot read nowhere.toml: No such file or directory"),
        (["dev", "--fork", "isthmus", "--override.jovian", "1"], "--fork isthmus: the chain of these overrides begins with jovian"),
        (["init"], "which chain? Name it with --network NAME or --genesis FILE"),
        (["init", "nowhere.json"], "cannot read genesis file nowhere.json"),
        (["init", "--network", "op-sepola"], "unknown network 'op-sepola'; did you mean op-sepolia"),
        (["init", "--network", "op-mainnet"], "OP Mainnet began before Bedrock"),
        (["db", "verify", "--datadir", "nowhere"], "no database at nowhere/chaindata; `l2engine init` makes one"),
        (["rewind", "--datadir", "nowhere", "1"], "no database at nowhere/chaindata"),
        (["export", "--datadir", "nowhere", "chain.rlp"], "no database at nowhere/chaindata"),
        (["import", "--datadir", "new", "chain.rlp"], "which chain?"),
        (["statetest", "nowhere"], "no test files at nowhere"),
    ],
)
def test_what_is_not_there(fails: Fails, words: list[str], said: str, tmp_path: Path) -> None:
    assert said in fails(*words)
    assert list(tmp_path.iterdir()) == []  # a mistake leaves nothing behind


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("g.json", b'{"config":', "cannot read genesis file g.json: "),
        ("g.json", b"[]", "cannot read genesis file g.json: not a JSON object"),
        ("g.json", b"{}", "genesis has no chain configuration"),
        ("g.json", b'{"config":{"chainId":5},"gasLimit":"lots"}', "invalid genesis: gasLimit is not a number: 'lots'"),
        ("g.json", b'{"config":{"chainId":5},"alloc":{"0x01":{"balance":"-1"}}}', "invalid genesis: account 0x01: balance is negative: -1"),
        ("g.json", b'{"config":{"chainId":5},"coinbase":"0x01"}', "invalid genesis: coinbase has 1 bytes instead of 20: 0x01"),
        ("g.json.gz", gzip.compress(b"{}" * 99, mtime=0)[:-9], "cannot read genesis file g.json.gz: "),
        ("g.json.zst", zstandard.compress(b"{}" * 99)[:-9], "cannot read genesis file g.json.zst: the compressed file is cut off"),
    ],
)
def test_damaged_genesis(fails: Fails, tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said in fails("init", name, "--datadir", "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", ["replay", "statetest", "blocktest"])
@pytest.mark.parametrize(
    ("name", "content"), [("case.json", b"\xff"), ("case.json", b'{"a": {}}'), ("case.json.gz", gzip.compress(b"{}", mtime=0)[:-3])]
)
def test_damaged_cases(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: str, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert main([command, str(tmp_path / name)]) == 1
    output = "".join(capsys.readouterr())
    assert " is not a" in output and output.count("\n") == 1


def test_data_directories_that_cannot_be_used(fails: Fails, genesis: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file: File exists" in fails("init", genesis, "--datadir", "file")
    (tmp_path / "foreign/chaindata").mkdir(parents=True)
    (tmp_path / "foreign/chaindata/hello.txt").touch()
    assert "is not an l2engine database (it holds hello.txt)" in fails("init", genesis, "--datadir", "foreign")


def test_files_that_cannot_be_imported_or_written(fails: Fails, genesis: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(genesis), "--datadir", "data"]) == 0
    capsys.readouterr()
    assert "no such file: chain.rlp" in fails("import", "--datadir", "data", "chain.rlp")
    assert "not an RLP chain file: byte 0x7b where a block should begin" in fails("import", "--datadir", "data", genesis)
    (tmp_path / "chain.rlp").write_bytes(b"\xf9\x02\x00\x00")
    assert "the chain file ends in the middle of a block" in fails("import", "--datadir", "data", "chain.rlp")
    assert "block 5 is not on the canonical chain" in fails("rewind", "--datadir", "data", "5")
    assert "cannot export blocks 3 to 4: the chain goes from 0 to 0" in fails("export", "--datadir", "data", "out.rlp", "3", "4")
    assert "No such file or directory" in fails("export", "--datadir", "data", "nowhere/out.rlp")


def test_chain_files_of_another_chain_and_with_a_gap(fails: Fails, genesis: Path, chain_file: tuple[Path, Path], tmp_path: Path) -> None:
    theirs, chain = chain_file
    ours = loader.load(genesis).hash.hex()
    said = fails("import", "--genesis", genesis, "--datadir", "data", chain)
    assert said.endswith(f"its chain begins with genesis 0x{loader.load(theirs).hash.hex()}, this one with 0x{ours}")
    with gzip.open(chain) as file:
        blocks = list(import_.read_items(file))
    (tmp_path / "gap.rlp").write_bytes(blocks[4])
    assert f"which is not here: the chain ends at block 0 0x{ours}" in fails("import", "--datadir", "data", "gap.rlp")


def test_an_interrupted_export_leaves_no_file(genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["init", str(genesis), "--datadir", str(tmp_path / "data")]) == 0

    def interrupt(store: BlockStore, number: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(BlockStore, "canonical_block", interrupt)
    assert main(["export", "--datadir", str(tmp_path / "data"), str(tmp_path / "out.rlp"), "0", "0"]) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_progress_on_a_terminal_ends_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    clock = iter(range(10))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    with Progress("importing", 4) as progress:
        progress.step(head=1)
        progress.step(2, head=3)
    assert sys.stderr.getvalue().split("\r")[1:] == [
        "importing [######                  ]  25.0% head=1 eta=3s\033[K",
        "importing [##################      ]  75.0% head=3 eta=1s\033[K\n",
    ]


def test_ports_and_secrets_that_cannot_be_used(fails: Fails, genesis: Path, tmp_path: Path) -> None:
    words = ("run", "--genesis", genesis, "--datadir", "data", "--verbosity=0", "--authrpc.port")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in fails(*words, port)
    (tmp_path / "secret").write_text("abc")
    assert "invalid JWT secret in secret: want 64 hex digits" in fails(*words, "0", "--authrpc.jwtsecret", "secret")
    assert "Is a directory" in fails(*words, "0", "--authrpc.jwtsecret", ".")


@pytest.mark.parametrize("value", ["[]", "[1]", "1979-05-27", "nan", "-5", "true", '"soon"', "1.5", "18446744073709551616"])
def test_a_configured_fork_time_that_is_none(fails: Fails, tmp_path: Path, value: str) -> None:
    (tmp_path / "config.toml").write_text(f"override.karst = {value}")
    assert "config.toml: bad value for override.karst: " in fails("dumpconfig", "--config", "config.toml")


def test_a_configuration_that_is_no_text(fails: Fails, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xff\xfe")
    assert "config.toml: 'utf-8' codec can't decode" in fails("dumpconfig", "--config", "config.toml")
