"""The recorded chains on the native core: every payload, rebuild, mutated payload and receipt as op-geth had them; with both executors
at once; and a database that holds the same bytes as the reference's."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from l2engine.conformance import witness
from l2engine.evm.agreement import AgreementExecutor
from l2engine.store.native import NativeState
from l2engine.store.state import LayeredState
from tests.helpers import in_process
from tests.helpers.in_process import InProcess
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors
from tests.recordings import test_recordings, test_upgrades

pytestmark = needs_vectors

KEPT_LAYERS = 5  # so that the base moves while the chain is short
_DUMP_EVERY = 7


@pytest.fixture(params=["native", pytest.param("both", marks=pytest.mark.slow)])
def evm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the tests of `tests/recordings` on other executors."""
    for module in (test_recordings, test_upgrades):
        monkeypatch.setattr(module, "InProcess", partial(InProcess, evm=request.param))


@pytest.mark.parametrize("chain", test_recordings.CHAINS)
def test_payloads_receipts_and_mutations(chain: str, evm: None) -> None:
    test_recordings.test_payloads_receipts_and_mutations_as_op_geth(chain)


@pytest.mark.parametrize("chain", test_recordings.CHAINS)
def test_attributes(chain: str, evm: None) -> None:
    test_recordings.test_attributes_rebuild_op_geths_payloads(chain)


@pytest.mark.parametrize("chain", test_upgrades.CHAINS)
def test_upgrades_and_scenarios(chain: str, evm: None) -> None:
    test_upgrades.test_payloads_bad_calls_and_scenario_as_op_geth(chain)


@pytest.mark.parametrize("chain", test_upgrades.CHAINS)
def test_upgrades_attributes(chain: str, evm: None) -> None:
    test_upgrades.test_attributes_rebuild_op_geths_payloads(chain)


@pytest.mark.parametrize("chain", ["bedrock", "isthmus"])
def test_payloads_on_both(chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_recordings, "InProcess", partial(InProcess, evm="both"))
    test_recordings.test_payloads_receipts_and_mutations_as_op_geth(chain)


@pytest.mark.parametrize("number", [26207960, 26207961, 26208384, 26208858])
def test_op_sepolia_blocks(number: int) -> None:
    block = witness.read(VECTORS / "kona-blocks" / f"{number}.json.gz")
    assert witness.execute(block, AgreementExecutor(block.config)).hash == block.expected_hash


# ---- databases ------------------------------------------------------------------------------------------------------


def fed(folder: Path, evm: str) -> Iterator[InProcess]:
    """A node that is given a recorded chain; it is shown after every block."""
    node = InProcess(folder / "genesis.json", evm=evm)
    for row in json_lines(folder / "blocks.jsonl.gz"):
        call = row["newPayload"]
        node.call(f"engine_newPayloadV{call['version']}", *call["params"])
        node.call("engine_forkchoiceUpdatedV3", *(row.get("forkchoiceAfter") or row["setHead"])["params"])
        yield node


@pytest.mark.parametrize("family", ["recordings", "recordings-upgrades"])
@pytest.mark.parametrize("chain", ["bedrock", "canyon", "ladder"])
def test_databases_hold_the_same_bytes(family: str, chain: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_state(kv: Any, settings: Any) -> Any:
        return (NativeState if settings.evm == "native" else LayeredState)(kv, layers=KEPT_LAYERS)

    monkeypatch.setattr(in_process, "open_state", open_state)
    folder, moved = VECTORS / family / chain, 0
    for count, nodes in enumerate(zip(fed(folder, "py"), fed(folder, "native"), strict=True)):
        bases = [node.engine.state.base for node in nodes]
        assert bases[0] == bases[1]
        moved = bases[0][0]
        if count % _DUMP_EVERY == 0:
            dumps = [list(node.kv.iterate(b"", b"\xff" * 80)) for node in nodes]
            assert dumps[0] == dumps[1], f"at block {nodes[0].engine.head.number}"
    assert moved >= 20
