"""A chain with refunds as a file: imported on each executor, exported as it came; one with bad refunds stops the import."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2engine.__main__ import main
from l2engine.types.block import Block
from tests.helpers.dev_chain import Forge, document, funded
from tests.lagoon.chain import post_execution
from tests.lagoon.test_block_rules import with_body

SINK = b"\1" * 20


@pytest.fixture(autouse=True)
def unchanged_log() -> Iterator[None]:
    """Commands set up the log of their process."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


def chain() -> list[Block]:
    """Three blocks, refunds in the second and third."""
    forge, alice = Forge(document("lagoon")), funded("alice")
    blocks = [forge.block(forge.genesis)]
    for number in (2, 3):
        blocks.append(forge.block(blocks[-1].header, alice.sign(to=SINK), post_execution(number, (1, 21_000))))
    return blocks


@pytest.mark.parametrize("evm", ["py", "auto", "both"])
def test_a_chain_with_refunds_is_imported_and_exported(tmp_path: Path, evm: str) -> None:
    if evm == "both":
        pytest.importorskip("l2engine_native", reason="the native core is not installed: `make native` builds it (needs cargo)")
    blocks = chain()
    given, again = tmp_path / "chain.rlp", tmp_path / "again.rlp"
    given.write_bytes(b"".join(block.encode() for block in blocks))
    (tmp_path / "genesis.json").write_text(json.dumps(document("lagoon")))
    place = ["--genesis", str(tmp_path / "genesis.json"), "--datadir", str(tmp_path / "data")]
    assert main(["import", f"--evm={evm}", *place, str(given)]) == 0
    assert main(["export", *place[2:], str(again), "1", "3"]) == 0
    assert again.read_bytes() == given.read_bytes()


def test_an_import_stops_at_bad_refunds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = chain()
    bad = with_body(blocks[2], *blocks[2].transactions[:-1], post_execution(3, (1, 21_001)))
    (tmp_path / "chain.rlp").write_bytes(b"".join(block.encode() for block in (*blocks[:2], bad)))
    (tmp_path / "genesis.json").write_text(json.dumps(document("lagoon")))
    words = ["import", "--genesis", str(tmp_path / "genesis.json"), "--datadir", str(tmp_path / "data"), str(tmp_path / "chain.rlp")]
    assert main(words) == 1
    said = capsys.readouterr()
    assert "gas refund 21001 above the gas used 21000" in said.out + said.err
