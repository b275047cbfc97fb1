"""One odd test is one failed outcome: the others of its file, and of the run, still have theirs."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from l2engine.__main__ import main
from tests.conformance.families import needs_native
from tests.helpers.mutations import NASTY, damaged
from tests.helpers.vectors import CASES, archive, needs_cases, needs_vectors

REPORTS = CASES / "reports"
BLOCK_TESTS = "ethereum-tests/blockchain-tests.tar.zst"

each_executor = pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native), pytest.param("both", marks=needs_native)])


def outcomes(command: str, *paths: Path, capsys: pytest.CaptureFixture[str], evm: str = "py") -> list[dict[str, Any]]:
    """The records that a command prints; its status fits them."""
    status = main([command, "--evm", evm, *map(str, paths)])
    records: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert status == (0 if all(record["pass"] for record in records) else 1)
    return records


@pytest.fixture(scope="module")
def block_test() -> tuple[str, dict[str, Any]]:
    """A Cancun test with invalid blocks."""
    for name, raw in archive(BLOCK_TESTS):
        if "InvalidBlocks/bcBlockGasLimitTest" in name:
            for case, test in json.loads(raw).items():
                if test["network"] == "Cancun":
                    return case, test
    raise AssertionError("the archive has changed")


@pytest.fixture(scope="module")
def state_test() -> dict[str, Any]:
    test: dict[str, Any] = json.loads((REPORTS / "statetest-plain.json").read_text())["plain"]
    return test


# ---- reports --------------------------------------------------------------------------------------------------------


@needs_cases
@each_executor
def test_a_sender_without_a_key(evm: str, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = outcomes("statetest", REPORTS / "statetest-sender-only.json", capsys=capsys, evm=evm)
    (plain,) = outcomes("statetest", REPORTS / "statetest-plain.json", capsys=capsys, evm=evm)
    assert record["pass"] and record["stateRoot"] == plain["stateRoot"]


@needs_cases
@each_executor
def test_transaction_bytes_that_do_not_decode(evm: str, capsys: pytest.CaptureFixture[str]) -> None:
    refused, plain = outcomes("statetest", REPORTS / "statetest-bad-txbytes.json", capsys=capsys, evm=evm)
    assert refused["pass"] and "too few" in refused["error"]
    assert plain["pass"] and "error" not in plain


@needs_cases
@pytest.mark.parametrize("txbytes", ["0x", "0x00", "0xc0", "0x05c0", "0xff", "0x7e", "0xf8"])
def test_other_bytes_that_do_not_decode(
    txbytes: str, state_test: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = copy.deepcopy(state_test)
    root = json.loads((REPORTS / "statetest-bad-txbytes.json").read_text())["bad_txbytes"]["post"]["Shanghai"][0]["hash"]
    odd["post"]["Shanghai"][0] |= {"txbytes": txbytes, "expectException": "TransactionException.TYPE_NOT_SUPPORTED", "hash": root}
    (tmp_path / "case.json").write_text(json.dumps({"odd": odd, "plain": state_test}))
    refused, plain = outcomes("statetest", tmp_path / "case.json", capsys=capsys)
    assert refused["pass"] and refused["error"] and plain["pass"]


@needs_cases
@needs_vectors
@each_executor
@pytest.mark.parametrize("value", [..., "", "0x", None])
def test_a_block_test_without_the_bytes_of_its_genesis(
    evm: str, value: Any, block_test: tuple[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """blocktest-without-genesis-rlp.txt."""
    assert (REPORTS / "blocktest-without-genesis-rlp.txt").is_file()
    name, test = block_test
    without = {key: item for key, item in test.items() if key != "genesisRLP"} | ({} if value is ... else {"genesisRLP": value})
    (tmp_path / "case.json").write_text(json.dumps({name: test, "without": without}))
    whole, same = outcomes("blocktest", tmp_path / "case.json", capsys=capsys, evm=evm)
    assert whole["pass"] and same == whole | {"name": "without"}


# ---- neighbours -----------------------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all fields inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def altered(test: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """The test with another value at a path, or without it when the value is `...`."""
    document = copy.deepcopy(test)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


@needs_cases
@pytest.mark.parametrize("value", [..., None, "odd", 5, [], {}], ids=str)
def test_a_state_test_with_any_field_missing_or_odd(
    value: Any, state_test: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {str(path): altered(state_test, path, value) for path in places(state_test)} | {"plain": state_test}
    (tmp_path / "case.json").write_text(json.dumps(document))
    records = outcomes("statetest", tmp_path / "case.json", capsys=capsys)
    assert records[-1]["name"] == "plain" and records[-1]["pass"]
    assert all(record["pass"] or record["error"] for record in records)
    seen = {record["name"] for record in records}
    assert {name for name in document if name not in seen} <= {"('post', 'Shanghai')", "('post',)", "('post', 'Shanghai', 0)"}


@needs_cases
@needs_vectors
@pytest.mark.parametrize("value", [..., None, "odd", 5, [], {}], ids=str)
def test_a_block_test_with_any_field_missing_or_odd(
    value: Any, block_test: tuple[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, test = block_test
    paths = [path for path in places(test) if "pre" not in path or len(path) < 4]
    document = {str(path): altered(test, path, value) for path in paths} | {name: test}
    (tmp_path / "case.json").write_text(json.dumps(document))
    records = outcomes("blocktest", tmp_path / "case.json", capsys=capsys)
    assert [record["name"] for record in records] == list(document)
    assert records[-1]["pass"] and all(record["pass"] or record["error"] for record in records)


@needs_cases
@needs_native
@pytest.mark.parametrize("command", ["statetest", "blocktest"])
@pytest.mark.parametrize("seed", range(3))
def test_damaged_tests(
    command: str, seed: int, state_test: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    random = Random(seed)
    test = state_test if command == "statetest" else request.getfixturevalue("block_test")[1]
    for number in range(40):
        (tmp_path / f"{number:03}.json").write_bytes(damaged({"odd": test}, random))
    (tmp_path / "last.json").write_text(json.dumps({"last": test}))
    for evm in ("py", "native"):
        records = outcomes(command, tmp_path, capsys=capsys, evm=evm)
        assert records[-1]["name"] == "last" and records[-1]["pass"]


@needs_cases
def test_odd_files_among_good_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = (REPORTS / "statetest-plain.json").read_bytes()
    for name, content in {"1": b"{", "2": b"[]", "3": b'{"a": 1}', "4": b"\xff", "5": b"[" * 100_000, "6": plain, "7": b"{}"}.items():
        (tmp_path / f"{name}.json").write_bytes(content)
    (tmp_path / ".meta").mkdir()
    (tmp_path / ".meta/index.json").write_text('{"root_hash": "0x00"}')
    (tmp_path / "torn.tar.zst").write_bytes(b"\x28\xb5\x2f\xfdnonsense")
    (tmp_path / "empty").mkdir()
    records = outcomes("statetest", tmp_path / "torn.tar.zst", tmp_path / "empty", tmp_path / "nowhere", tmp_path, capsys=capsys)
    failed = ["torn.tar.zst", "empty", "nowhere", "1.json", "2.json", "3.json", "4.json", "5.json"]
    assert [record["name"] for record in records if not record["pass"]] == failed
    assert [record["name"] for record in records if record["pass"]] == ["plain"]


@needs_cases
@pytest.mark.parametrize("fork", ["Amsterdam", "", "Shanghai\u0000", "CancunToNowhereAtTime15k"])
def test_an_unknown_fork_fails_alone(fork: str, state_test: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = state_test | {"post": {fork: state_test["post"]["Shanghai"]} | state_test["post"]}
    (tmp_path / "case.json").write_text(json.dumps({"odd": odd}))
    unknown, known = outcomes("statetest", tmp_path / "case.json", capsys=capsys)
    assert not unknown["pass"] and unknown["error"].startswith(f"unknown fork {fork!r}") and known["pass"]


@needs_vectors
@pytest.mark.parametrize(
    "network", ["Amsterdam", "", "CancunToNowhereAtTime15k", "ShanghaiToCancunAtTimexk", "BerlinToLondonAtz", "ToAt5", "HomesteadToDaoAtx"]
)
def test_an_unknown_network_fails_alone(
    network: str, block_test: tuple[str, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, test = block_test
    (tmp_path / "case.json").write_text(json.dumps({"odd": test | {"network": network}, name: test}))
    unknown, known = outcomes("blocktest", tmp_path / "case.json", capsys=capsys)
    assert not unknown["pass"] and unknown["error"] and known["pass"]


def test_nasty_values_are_json() -> None:
    assert json.loads(json.dumps(NASTY))
