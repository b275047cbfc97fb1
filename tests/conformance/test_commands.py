"""The conformance commands as a user calls them: what they print, and their exit status."""

import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from l2engine.__main__ import main
from l2engine.conformance import statetest
from l2engine.evm.agreement import AgreementExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import forks
from l2engine.rules.config import Activation
from tests.conformance.families import needs_native
from tests.helpers.vectors import VECTORS, archive, needs_vectors

each_executor = pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native), pytest.param("both", marks=needs_native)])

TRACED = Path(__file__).with_name("traced.json")
"""Calls that revert and that jump to nowhere, then SELFDESTRUCT; traced.jsonl is what op-geth's `evm statetest --trace` writes of it."""
STATE_TEST = "GeneralStateTests/stRefundTest/refund50_1.json"
BLOCK_TEST = "BlockchainTests/ValidBlocks/bcStateTests/testOpcode_50.json"


def _document(path: str, wanted: str) -> dict[str, Any]:
    return next(json.loads(raw) for name, raw in archive(path) if name == wanted)


def _write(folder: Path, document: Any) -> str:
    path = folder / "case.json"
    path.write_text(json.dumps(document))
    return str(path)


@needs_vectors
@each_executor
def test_statetest_prints_one_record_a_case(evm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document("ethereum-tests/general-state-tests.tar.zst", STATE_TEST)
    assert main(["statetest", "--evm", evm, _write(tmp_path, document)]) == 0
    printed = capsys.readouterr()
    records = json.loads(printed.out)
    assert records and all(record["pass"] and record["stateRoot"].startswith("0x") for record in records)
    assert {record["fork"] for record in records} <= {fork for test in document.values() for fork in test["post"]}
    assert "case.json" in printed.err


@needs_vectors
@each_executor
def test_statetest_with_a_wrong_root_fails(evm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document("ethereum-tests/general-state-tests.tar.zst", STATE_TEST)
    for test in document.values():
        for outcomes in test["post"].values():
            for outcome in outcomes:
                outcome["hash"] = "0x" + "11" * 32
    assert main(["statetest", "--evm", evm, _write(tmp_path, document)]) == 1
    records = json.loads(capsys.readouterr().out)
    assert all(not record["pass"] and "state root mismatch" in record["error"] for record in records)


@needs_vectors
def test_statetest_fork_filter_and_json_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document("ethereum-tests/general-state-tests.tar.zst", STATE_TEST)
    name, test = next(iter(document.items()))
    fork = next(iter(test["post"]))
    single = {name: {**test, "post": {fork: test["post"][fork][:1]}}}
    assert main(["statetest", "--evm", "py", "--fork", fork.lower(), "--json-trace", _write(tmp_path, single)]) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.err.splitlines() if line.startswith("{")]
    assert lines[0]["pc"] == 0 and lines[0]["opName"] and lines[0]["gas"].startswith("0x")
    assert "gasUsed" in lines[-2]
    assert list(lines[-1]) == ["stateRoot"]
    assert main(["statetest", "--evm", "py", "--fork", "Homestead" if fork != "Homestead" else "Berlin", _write(tmp_path, single)]) == 0
    assert json.loads(capsys.readouterr().out) == []


@each_executor
def test_statetest_traces_what_geths_evm_does(evm: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statetest", "--evm", evm, "--json-trace", str(TRACED)]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert lines == TRACED.with_suffix(".jsonl").read_text().splitlines()


@needs_vectors
def test_blocktest_traces_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, _document("ethereum-tests/blockchain-tests.tar.zst", BLOCK_TEST))
    assert main(["blocktest", "--evm", "py", "--json-trace", path]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert lines[0]["pc"] == 0 and lines[0]["depth"] == 1 and "gasUsed" in lines[-1]


@needs_vectors
def test_a_state_test_on_which_executors_differ_fails() -> None:
    test = next(statetest.read(_document("ethereum-tests/general-state-tests.tar.zst", STATE_TEST)))
    wrong = ReferenceExecutor(replace(test.config, activations=(Activation(forks.FRONTIER, block=0),)))
    outcome = statetest.run(test, lambda config: AgreementExecutor(config, native=wrong, reference=ReferenceExecutor(config)))
    assert not outcome.passed and outcome.error is not None and "the executors disagree at block 1, transaction 0" in outcome.error


@needs_vectors
@each_executor
def test_blocktest_accepts_a_good_chain_and_notices_a_wrong_head(evm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = _document("ethereum-tests/blockchain-tests.tar.zst", BLOCK_TEST)
    assert main(["blocktest", "--evm", evm, _write(tmp_path, document)]) == 0
    assert all(record["pass"] for record in json.loads(capsys.readouterr().out))
    for test in document.values():
        test["lastblockhash"] = "0x" + "22" * 32
    assert main(["blocktest", "--evm", evm, _write(tmp_path, document)]) == 1
    assert "head is" in json.loads(capsys.readouterr().out)[0]["error"]


@needs_vectors
@each_executor
def test_replay_prints_the_hash_and_fails_on_another(evm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = VECTORS / "kona-blocks" / "26207960.json.gz"
    assert main(["replay", "--evm", evm, str(source)]) == 0
    printed = capsys.readouterr().out
    document = json.loads(gzip.decompress(source.read_bytes()))
    assert document["expected_block_hash"] in printed and "Mgas/s" in printed and printed.rstrip().endswith("OK")
    document["expected_block_hash"] = "0x" + "33" * 32
    assert main(["replay", "--evm", evm, _write(tmp_path, document)]) == 1
    assert "DIFFERS" in capsys.readouterr().out


@needs_vectors
@each_executor
def test_missing_preimage_is_an_error_not_a_wrong_hash(evm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(gzip.decompress((VECTORS / "kona-blocks" / "26207960.json.gz").read_bytes()))
    document["preimages"] = {}
    assert main(["replay", "--evm", evm, _write(tmp_path, document)]) == 1
    assert "StoreError" in capsys.readouterr().out


def test_a_path_without_tests_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statetest", str(tmp_path)]) == 1
    assert "no test files" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["statetest", "blocktest"])
def test_a_fork_that_the_suites_do_not_have_is_refused(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--fork", "Cancoon", str(TRACED)]) == 1
    assert "unknown fork 'Cancoon'; the suites know Frontier, " in capsys.readouterr().err


def test_a_test_for_a_fork_to_come_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _write(tmp_path, json.loads(TRACED.read_text().replace('"Cancun"', '"Amsterdam"')))
    assert main(["statetest", path]) == 1
    assert "unknown fork 'Amsterdam'" in capsys.readouterr().err
