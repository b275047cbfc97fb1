"""The recorded chains once more on the native core: every payload, rebuild, mutated payload and receipt as op-geth had them."""

from functools import partial

import pytest

from tests.helpers.in_process import InProcess
from tests.helpers.vectors import needs_vectors
from tests.recordings import test_recordings, test_upgrades

pytestmark = needs_vectors


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (test_recordings, test_upgrades):
        monkeypatch.setattr(module, "InProcess", partial(InProcess, evm="native"))


@pytest.mark.parametrize("chain", test_recordings.CHAINS)
def test_payloads_receipts_and_mutations(chain: str) -> None:
    test_recordings.test_payloads_receipts_and_mutations_as_op_geth(chain)


@pytest.mark.parametrize("chain", test_recordings.CHAINS)
def test_attributes(chain: str) -> None:
    test_recordings.test_attributes_rebuild_op_geths_payloads(chain)


@pytest.mark.parametrize("chain", test_upgrades.CHAINS)
def test_upgrades_and_scenarios(chain: str) -> None:
    test_upgrades.test_payloads_bad_calls_and_scenario_as_op_geth(chain)


@pytest.mark.parametrize("chain", test_upgrades.CHAINS)
def test_upgrades_attributes(chain: str) -> None:
    test_upgrades.test_attributes_rebuild_op_geths_payloads(chain)
