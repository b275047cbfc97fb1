"""The first call that needs py-evm on a native node: its import does not count as the call's time."""

import json
import subprocess
import sys
from typing import Any

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from tests.conformance.families import needs_native
from tests.helpers.running import ROOT

CODE = "0x00000000000000000000000000000000000c0de1"
SHA256 = "0x" + "00" * 19 + "02"
OTHER = "0x00000000000000000000000000000000000c0de2"
LOOP = "0x610fff5b6001900380600357" + "00"  # 4,095 rounds: the clock is looked at every so many
WHO = "0x" + DEV_ACCOUNTS[0].address.hex()
CODES = {CODE: {"code": LOOP}}
MOVED = {SHA256: {"movePrecompileToAddress": OTHER}, **CODES}

BUSY_MACHINE = """
import json, sys, time
from dataclasses import replace
from genesis.dev import dev_genesis
from tests.helpers.in_process import InProcess

class SlowImport:
    def find_spec(self, name, path=None, target=None):
        if name == "eth":
            sys.meta_path.remove(self)
            time.sleep(1.5)

node = InProcess(dev_genesis("jovian", 1_700_000_000), evm="native")
assert "eth" not in sys.modules
sys.meta_path.insert(0, SlowImport())
node.context.settings = replace(node.context.settings, evm_timeout_seconds=1)
print(json.dumps(node.call(*json.loads(sys.argv[1]))))
assert "eth" in sys.modules
"""


def first_call(*request: Any) -> Any:
    """The answer of a node on a machine where py-evm's import takes longer than a call may run."""
    command = [sys.executable, "-c", BUSY_MACHINE, json.dumps(request)]
    return json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=120, check=True).stdout)


@needs_native
@pytest.mark.parametrize(
    "request_",
    [
        ("eth_call", {"to": CODE}, "latest", MOVED),
        ("eth_estimateGas", {"to": CODE}, "latest", MOVED),
        ("eth_createAccessList", {"from": WHO, "to": CODE, "gas": "0x2dc6c0"}, "latest", CODES),
        ("debug_traceCall", {"to": CODE}, "latest", {"timeout": "1s", "tracer": "callTracer", "stateOverrides": CODES}),
    ],
    ids=["moved precompile", "estimate", "access list", "trace"],
)
def test_import_does_not_count_as_execution(request_: tuple[Any, ...]) -> None:
    answer = first_call(*request_)
    assert not isinstance(answer, dict) or "error" not in answer, answer
