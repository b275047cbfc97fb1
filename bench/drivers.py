"""Engines started for measuring, and the drivers in ../shared/tools/bench, which speak to them over HTTP only.

`available` must be asked first: importing the drivers needs the folder.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DRIVERS = ROOT.parent / "shared" / "tools" / "bench"
LEAST_LIMIT = 2_000_000  # of a block's gas: the L1-attributes deposit alone may use half
KINDS = ("transfer", "erc20", "arith", "hashes", "stores")


def available() -> bool:
    """Whether the drivers are there; says so when they are not."""
    if not DRIVERS.is_dir():
        print(f"nothing measured: {DRIVERS} is missing")
    return DRIVERS.is_dir()


def load(name: str) -> ModuleType:
    """A module of the drivers; `genesis`, whose name is taken here, under another one."""
    if str(DRIVERS) not in sys.path:
        sys.path.append(str(DRIVERS))
    spec = importlib.util.spec_from_file_location(f"driver_{name}" if name == "genesis" else name, DRIVERS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    if spec.name in sys.modules:
        return sys.modules[spec.name]
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Node:
    """A running engine."""

    name: str
    process: "subprocess.Popen[bytes]"
    seconds_to_ready: float
    url: str
    engine_url: str
    secret: bytes

    def driver(self, fork: str, gas_limit: int) -> Any:
        """The rollup node's side of its Engine API."""
        return load("engine").Engine(self.engine_url, self.secret, fork=fork, gas_limit=gas_limit)

    def rpc(self) -> Any:
        """A connection to its public port."""
        return load("common").Rpc(self.url)

    def resident_mb(self) -> float:
        return float(load("common").rss_mb(self.process.pid))

    def processor_seconds(self) -> float:
        return float(load("common").cpu_s(self.process.pid))

    def stop(self) -> None:
        load("common").stop(self.process)


def start_ours(name: str, evm: str, folder: Path, genesis: dict[str, Any], port: int, *options: str, root: Path = ROOT) -> Node:
    """l2engine (of the checkout at `root`) on a fresh directory with this genesis; its Engine port is the one after `port`."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "genesis.json").write_text(json.dumps(genesis))
    secret = bytes(range(32))
    (folder / "jwt.hex").write_text(secret.hex())
    python = sys.executable if root == ROOT else str(root / ".venv" / "bin" / "python")
    command = [python, "-m", "l2engine", "run", f"--datadir={folder / 'data'}", f"--genesis={folder / 'genesis.json'}"]
    command += ["--http", f"--http.port={port}", f"--authrpc.port={port + 1}", f"--authrpc.jwtsecret={folder / 'jwt.hex'}"]
    command += ["--ipcdisable", "--http.api=eth,net,web3,debug,txpool", f"--evm={evm}", *options]
    url = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=root, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        load("common").wait_rpc(url)
    except TimeoutError:
        process.kill()
        raise RuntimeError((folder / "log").read_text()) from None
    seconds = time.perf_counter() - started
    return Node(name, process, seconds, url, f"http://127.0.0.1:{port + 1}", secret)


def start_peer(name: str, binary: Path, folder: Path, genesis: dict[str, Any], port: int) -> Node:
    """op-geth on a fresh directory with this genesis."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder.with_suffix(".genesis.json")
    path.write_text(json.dumps(genesis))
    process, seconds, about = load("nodes").opgeth(folder, path, port, binary=binary)
    return Node(name, process, seconds, about["url"], about["engine"], about["jwt"])
