"""The messages about forks that this build does not know: at the start by a given clock, in the log, in every command."""

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from genesis.loader import load
from genesis.registry import Registry, registry
from l2engine import assembly, node
from l2engine.__main__ import main
from l2engine.assembly import Chain, open_chain
from l2engine.chain.fork_watch import DAY
from l2engine.chain.witness import Witnesses
from l2engine.errors import ConfigError
from l2engine.node import Node
from l2engine.rules.config import geth_config
from l2engine.settings import Settings
from l2engine.types.block import Block
from rpc.show.witnesses import show_witness
from tests.helpers.dev_chain import GENESIS_TIME, Forge, adopt, document

T = GENESIS_TIME + 100 * DAY


def settings(tmp_path: Path, keys: Mapping[str, int] | None = None, name: str = "genesis.json", **changes: Any) -> Settings:
    """A data directory, and a genesis with `keys` in its config."""
    path = None
    if keys is not None:
        genesis = document()
        genesis["config"] |= keys
        path = tmp_path / name
        path.write_text(json.dumps(genesis))
    return Settings(datadir=tmp_path / "data", genesis=path, evm="py", **changes)


@pytest.fixture
def opened() -> Iterator[list[Chain]]:
    chains: list[Chain] = []
    yield chains
    for chain in chains:
        chain.close()


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING)


# ---- the start ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("now", [T, T + 1, 2 * T])
def test_begun_fork_refuses_the_start_and_leaves_nothing(tmp_path: Path, now: int) -> None:
    with pytest.raises(ConfigError, match="neverland"):
        open_chain(settings(tmp_path, {"neverlandTime": T}), now=now)
    assert not (tmp_path / "data").exists()


def test_fork_to_come_is_warned_of(tmp_path: Path, opened: list[Chain], caplog: pytest.LogCaptureFixture) -> None:
    opened.append(open_chain(settings(tmp_path, {"neverlandTime": T}), now=T - 1))
    assert "does not know the fork neverland (neverlandTime" in warnings(caplog)


def test_a_restart_after_the_fork_is_refused(tmp_path: Path) -> None:
    open_chain(settings(tmp_path, {"neverlandTime": T}), now=T - 1).close()
    with pytest.raises(ConfigError, match="neverland"):
        open_chain(settings(tmp_path), now=T)


def test_a_head_beyond_the_fork_refuses_whatever_the_clock_says(tmp_path: Path) -> None:
    forge = Forge(document())
    chain = open_chain(settings(tmp_path, {}), now=0)
    adopt(chain.engine, *forge.chain(forge.genesis, 3))
    chain.close()
    for number, key in enumerate(({"neverlandTime": GENESIS_TIME + 6}, {"neverlandBlock": 3}, {"neverlandBlock": 0})):
        with pytest.raises(ConfigError, match="neverland"):
            open_chain(settings(tmp_path, key, f"{number}.json"), now=0)
    open_chain(settings(tmp_path, {"neverlandTime": GENESIS_TIME + 7, "strangeBlock": 4}), now=0).close()


def test_a_refused_genesis_file_leaves_the_databases_rules(tmp_path: Path, opened: list[Chain]) -> None:
    open_chain(settings(tmp_path, {}), now=0).close()
    with pytest.raises(ConfigError, match="neverland"):
        open_chain(settings(tmp_path, {"neverlandTime": T}, "later.json"), now=T)
    opened.append(open_chain(settings(tmp_path), now=T))
    assert opened[0].config.unknown_forks == ()


def test_overrides_work_beside_an_unknown_fork(tmp_path: Path, opened: list[Chain]) -> None:
    chosen = settings(tmp_path, {"neverlandTime": T}, override={"karst": T - DAY})
    opened.append(open_chain(chosen, now=0))
    config = opened[0].config
    assert [config.fork_at(1, time).name for time in (T - DAY - 1, T - DAY)] == ["jovian", "karst"]
    assert [fork.name for fork in config.unknown_forks] == ["neverland"]


# ---- registered chains ----------------------------------------------------------------------------------------------


def register(monkeypatch: pytest.MonkeyPatch, **facts: Any) -> None:
    """Make the dev genesis that of a registered chain."""
    genesis = load(document())
    row = registry().chains["sepolia/op"]
    fields = {"key": "sepolia/dev", "name": "Dev Testnet", "genesis_hash": genesis.hash, "chain_id": 901, **facts}
    registered = Registry({"sepolia/dev": replace(row, **fields)})
    monkeypatch.setattr(assembly, "registry", lambda file: registered)


OLD = dict.fromkeys(("canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian"), 0)


@pytest.mark.parametrize("network", [None, "sepolia/dev"])
def test_a_database_of_before_learns_of_forks_scheduled_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str | None) -> None:
    open_chain(settings(tmp_path, {}), now=0).close()
    register(monkeypatch, forks=OLD | {"neverland": T})
    chosen = settings(tmp_path, network=network)
    open_chain(chosen, now=T - 1).close()
    with pytest.raises(ConfigError, match="neverland"):
        open_chain(chosen, now=T)


def test_what_the_database_says_itself_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Chain]) -> None:
    open_chain(settings(tmp_path, {"neverlandTime": T + DAY}), now=0).close()
    register(monkeypatch, forks=OLD | {"neverland": T})
    opened.append(open_chain(settings(tmp_path), now=T))
    assert opened[0].config.unknown_forks[0].time == T + DAY


def test_a_chain_that_left_is_followed_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forge = Forge(document())
    chain = open_chain(settings(tmp_path, {"azulTime": GENESIS_TIME + 4}), now=2 * T)
    assert "azul" in warnings(caplog) and "Base left the OP Stack" in warnings(caplog)
    adopt(chain.engine, *forge.chain(forge.genesis, 1))
    chain.close()
    open_chain(settings(tmp_path), now=2 * T).close()


def test_a_retired_chain_starts_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[Chain], caplog: pytest.LogCaptureFixture
) -> None:
    register(monkeypatch, forks=OLD, retired=True)
    opened.append(open_chain(settings(tmp_path, {}), now=0))
    assert "Dev Testnet is retired" in warnings(caplog)


# ---- a running node -------------------------------------------------------------------------------------------------


async def test_a_running_node_tells_once_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(node, "FORK_LOOK_SECONDS", 0)
    clock = [T - 8 * DAY]

    def now() -> float:
        clock[0] += 0 if clock[0] > T + DAY else 3600
        return clock[0]

    caplog.set_level(logging.INFO, "l2engine.node")
    async with Node(settings(tmp_path, {"neverlandTime": T}, http=False, authrpc_port=0), now=now):
        async with asyncio.timeout(30):
            while clock[0] <= T + DAY:
                await asyncio.sleep(0.01)
    lines = [record for record in caplog.records if "that this build does not know" in record.getMessage()]
    assert {record.fields["fork"] for record in lines} == {"neverland"}  # type: ignore[attr-defined]
    assert [record.levelname for record in lines] == ["WARNING"] * 7 + ["ERROR"] * 2


# ---- commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers  # commands set up the log of their process


@pytest.mark.usefixtures("quiet")
def test_init_refuses_what_has_begun_and_warns_of_what_will(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begun, to_come = settings(tmp_path, {"neverlandTime": 1}, "1.json"), settings(tmp_path, {"neverlandTime": 2**40}, "2.json")
    assert main(["init", "--datadir", str(tmp_path / "data"), str(begun.genesis)]) == 1
    assert "neverland" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    assert main(["init", "--datadir", str(tmp_path / "data"), str(to_come.genesis)]) == 0
    assert "warning: this build does not know the fork neverland" in capsys.readouterr().err


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("command", ["run", "dev", "import"])
def test_every_command_that_starts_a_chain_refuses(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = settings(tmp_path, {"neverlandBlock": 0})
    words = [command, "--evm=py", f"--genesis={chosen.genesis}", f"--datadir={tmp_path / 'data'}"]
    assert main([*words, "chain.rlp"] if command == "import" else words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "fork neverland (neverlandBlock 0) has begun" in line


@pytest.mark.usefixtures("quiet")
def test_import_stops_at_the_fork_and_keeps_what_came_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge = Forge(document())
    blocks = forge.chain(forge.genesis, 4)
    (tmp_path / "chain.rlp").write_bytes(b"".join(block.encode() for block in blocks))
    chosen = settings(tmp_path, {"neverlandBlock": 3})
    words = ["import", "--evm=py", f"--genesis={chosen.genesis}", f"--datadir={tmp_path / 'data'}", str(tmp_path / "chain.rlp")]
    assert main(words) == 1
    error = capsys.readouterr().err
    assert f"block 3 0x{blocks[2].hash.hex()}: fork neverland" in error
    chain = open_chain(settings(tmp_path), now=0)
    assert chain.engine.head == blocks[1].header
    chain.close()


@pytest.mark.usefixtures("quiet")
def test_replay_refuses_a_block_of_the_fork(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge = Forge(document())
    block = forge.block(forge.genesis)
    path = tmp_path / "witness.json"

    def replay(keys: Mapping[str, int]) -> tuple[int, str]:
        path.write_text(json.dumps(witness_file(forge, block, keys)))
        return main(["replay", "--evm=py", str(path)]), capsys.readouterr().out

    assert replay({"neverlandTime": block.header.timestamp + 1})[0] == 0
    status, said = replay({"neverlandTime": block.header.timestamp})
    assert status == 1 and "fork neverland" in said


def witness_file(forge: Forge, block: Block, keys: Mapping[str, int]) -> dict[str, Any]:
    engine = forge.engine
    made = Witnesses(engine.config, engine.state, engine.blocks).of_block([engine.executor], forge.genesis, block)
    return {"config": geth_config(engine.config) | keys, "block": "0x" + block.encode().hex(), **show_witness(made)}


def test_a_wrong_value_is_told_with_its_key(tmp_path: Path) -> None:
    genesis = document()
    genesis["config"]["neverlandTime"] = "soon"
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    with pytest.raises(ConfigError, match="neverlandTime"):
        assembly.read_genesis(Settings(genesis=tmp_path / "genesis.json"))
