"""A damaged genesis file is refused with one line, or is a chain that answers and builds: the same on both executors, and never a crash.

More of it by hand: `python -m tests.genesis.test_mutations FIRST COUNT`.
"""

import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from genesis.dev import dev_genesis
from l2engine import assembly
from l2engine.dev.sequencer import Sequencer
from l2engine.errors import ConfigError, L2EngineError
from l2engine.settings import Settings
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for
from tests.conformance.families import needs_native
from tests.helpers.mutations import damaged

READS = [("eth_getBlockByNumber", "earliest", True), ("eth_feeHistory", "0x1", "latest", [50]), ("eth_gasPrice",), ("eth_getLogs", {})]
READS += [
    (name, "0x4200000000000000000000000000000000000016", "latest") for name in ("eth_getBalance", "eth_getCode", "eth_getTransactionCount")
]
READS += [("eth_getProof", "0x4200000000000000000000000000000000000016", ["0x7"], "latest"), ("eth_chainId",)]
READS += [("eth_call", {"to": "0x4200000000000000000000000000000000000016", "data": "0x"}, "latest")]


def document(random: Random) -> dict[str, Any]:
    """A valid genesis without the large contracts."""
    found = dev_genesis(random.choice(("bedrock", "canyon", "fjord", "isthmus", "jovian", "lagoon")), 1_700_000_000)
    found["alloc"] = {address: account for address, account in found["alloc"].items() if len(account.get("code", "")) < 1000}
    return found


def live(path: Path, evm: str) -> list[Any]:
    """What a chain on this genesis answers, and the hashes of two blocks, or the words of what refuses them."""
    settings = Settings(genesis=path, evm=evm)
    chain = assembly.open_chain(settings, assembly.memory_database(settings), now=1_700_000_000)
    seen: list[Any] = [chain.engine.head.hash]
    try:
        methods, context = methods_for(ENGINE_NAMESPACES), Context(chain.engine)
        for name, *params in READS:
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": name, "params": params}).encode()
            answer = json.loads(handle(body, methods, context) or b"")
            assert answer.get("error", {}).get("code") != -32603, (name, answer)
            seen.append(answer)
        with ThreadPoolExecutor(1) as thread:
            sequencer = Sequencer(chain.engine, thread)
            for _ in range(2):
                seen.append(sequencer.make_block(min(chain.engine.head.timestamp + 2, 2**64 - 1)).hash)
    except L2EngineError as error:
        seen.append(str(error))
    finally:
        chain.close()
    return seen


def attempt(seed: int, folder: Path) -> str:
    """`refused`, or how far the chain of this seed's file came."""
    random = Random(seed)
    path = folder / "genesis.json"
    path.write_bytes(damaged(document(random), random))
    try:
        native = live(path, "native")
    except ConfigError as error:
        assert "\n" not in str(error)
        with pytest.raises(ConfigError) as caught:
            live(path, "py")
        assert str(caught.value) == str(error)
        return "refused"
    assert native == live(path, "py")
    return "built" if isinstance(native[-1], bytes) else f"stopped: {native[-1]}"


@needs_native
@pytest.mark.parametrize("part", range(4))
def test_damaged_files(part: int, tmp_path: Path) -> None:
    outcomes = {attempt(seed, tmp_path) for seed in range(part * 40, part * 40 + 40)}
    assert {"refused", "built"} <= outcomes


if __name__ == "__main__":
    first, count = map(int, sys.argv[1:])
    outcomes = Counter[str]()
    with TemporaryDirectory() as scratch:
        for number in range(first, first + count):
            try:
                outcome = attempt(number, Path(scratch))
            except Exception as error:
                outcome = f"CRASH {type(error).__name__}: {error}"
            outcomes[outcome.partition(":")[0]] += 1
            if outcome not in ("refused", "built"):
                print(number, outcome[:300])
        print(dict(outcomes))
