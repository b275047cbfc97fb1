"""The recordings of op-geth, asked again of a running node over HTTP, by the checker that comes with the recordings.

Not asked: methods that come with later work. Not held against us: the departures that have a name. Traces take most of the time,
so only one in TRACE_SAMPLE is asked here; `tests/evm/test_tracers.py` compares them all, in process.
"""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from l2engine.evm.native import machine as native
from tests.helpers.running import RunningNode
from tests.helpers.vectors import VECTORS
from tests.recordings.departures import DEPARTURES, FIRST_KARST_PRECOMPILE

CHECKER = VECTORS.parent / "tools" / "recording_check.py"
CHAINS = ("bedrock", "regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "ladder")
QUICK = {"native": ("bedrock", "canyon", "ecotone", "isthmus", "jovian", "ladder"), "py": ("bedrock",)}
"""Chains that each executor runs in `make test`; both run all in `make conformance`, and `tests/recordings` all in process."""
APIS = "--http.api=eth,net,web3,debug,txpool,miner,admin"
NOT_YET = ("eth_simulateV1", "eth_config")
TRACE_SAMPLE = 25

pytestmark = pytest.mark.skipif(not CHECKER.is_file(), reason=f"no checker at {CHECKER}")

Rows = Iterator[tuple[str, str | None]]
"""The numbers of answers that the checker compared and that differed."""


def _runs() -> list[Any]:
    absent = pytest.mark.skipif(not native.available(), reason="the native core is not installed")
    marks = {"native": [absent], "py": []}
    return [
        pytest.param(evm, chain, marks=[*marks[evm], *([] if chain in QUICK[evm] else [pytest.mark.slow])], id=f"{evm}-{chain}")
        for evm in QUICK
        for chain in CHAINS
    ]


def load_checker() -> Any:
    """The checker, which leaves out requests as the module says."""
    specification = importlib.util.spec_from_file_location("recording_check", CHECKER)
    assert specification is not None and specification.loader is not None
    checker = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(checker)
    checker.lines = _asked(checker.lines)  # type: ignore[attr-defined]
    return checker


def _asked(lines: Callable[[Path], Iterator[Any]]) -> Callable[[Path], Iterator[Any]]:
    """Gives the rows of a recorded file without requests for methods of later work, and with one trace in TRACE_SAMPLE."""

    def asked(path: Path) -> Iterator[Any]:
        traces = 0
        for row in lines(path):
            request = row.get("request") if isinstance(row, dict) else None
            method = request.get("method", "") if isinstance(request, dict) else ""
            traces += method.startswith("debug_trace")
            if method not in NOT_YET and not (method.startswith("debug_trace") and traces % TRACE_SAMPLE):
                yield row

    return asked


def start(recording: Path, evm: str, datadir: Path) -> RunningNode:
    return RunningNode("run", "--genesis", recording / "genesis.json", APIS, "--gcmode=archive", f"--evm={evm}", datadir=datadir)


def check(rows: Rows) -> None:
    """Nothing differs but what departs by name."""
    compared = list(rows)
    assert compared
    assert [f"{name}: {problem}" for name, problem in compared if problem and not any(case in name for case in DEPARTURES)] == []


@pytest.mark.parametrize(("evm", "chain"), _runs())
def test_payloads_receipts_requests_and_mutated_payloads(evm: str, chain: str, tmp_path: Path) -> None:
    checker, recording = load_checker(), VECTORS / "recordings" / chain
    with start(recording, evm, tmp_path) as node:
        engine, rpc = checker.Rpc(node.engine, node.jwt_file), checker.Rpc(node.http)
        check(checker.payloads(recording, engine))
        check(checker.receipts(recording, rpc))
        check(checker.rpc(recording, rpc))
        check(checker.invalid(recording, engine))
        assert node.terminate() == 0


@pytest.mark.parametrize(("evm", "chain"), _runs())
def test_every_block_is_rebuilt_from_its_attributes(evm: str, chain: str, tmp_path: Path) -> None:
    checker, recording = load_checker(), VECTORS / "recordings" / chain
    with start(recording, evm, tmp_path) as node:
        check(checker.rebuild(recording, checker.Rpc(node.engine, node.jwt_file)))


@pytest.mark.parametrize(("evm", "chain"), _runs())
def test_chain_with_upgrades_and_scenarios(evm: str, chain: str, tmp_path: Path) -> None:
    checker, recording = load_checker(), VECTORS / "recordings-upgrades" / chain
    with start(recording, evm, tmp_path) as node:
        rows = checker.walk(recording, checker.Rpc(node.engine, node.jwt_file), checker.Rpc(node.http))
        check(_until_karst_precompile(rows) if chain == "ladder" else rows)


def _until_karst_precompile(rows: Rows) -> Rows:
    for name, problem in rows:
        if name.startswith(f"payload {FIRST_KARST_PRECOMPILE} "):
            return
        yield name, problem
