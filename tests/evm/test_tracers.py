"""Tracers against op-geth's recorded answers to debug_traceTransaction and debug_traceBlock*."""

import gzip
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from l2engine.errors import InvalidParams
from l2engine.evm import tracers
from l2engine.evm.native.machine import NativeExecutor, available
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.types.json_text import JsonText, pieces
from l2engine.types.transaction_codec import decode_transaction
from tests.evm.recordings import blocks, config
from tests.helpers.vectors import VECTORS, needs_vectors

CHAINS = [*sorted((VECTORS / "recordings").glob("*/")), *sorted((VECTORS / "recordings-upgrades").glob("*/"))]


def answers(chain: Path) -> dict[str, list[tuple[dict[str, Any], Any]]]:
    """Options and results of every recorded debug_traceTransaction, by transaction hash."""
    found: dict[str, list[tuple[dict[str, Any], Any]]] = defaultdict(list)
    with gzip.open(chain / "rpc.jsonl.gz", "rt") as file:
        for line in file:
            entry = json.loads(line)
            request, response = entry["request"], entry["response"]
            if isinstance(request, dict) and request.get("method") == "debug_traceTransaction" and "result" in response:
                params = request["params"]
                found[params[0]].append((params[1] if len(params) > 1 else {}, response["result"]))
    return found


def differences(chain: Path, executor_class: Any = ReferenceExecutor) -> tuple[list[tuple[str, dict[str, Any], Any, Any]], int]:
    """(transaction, options, got, expected) wherever our trace is not op-geth's, and how many were compared.

    Stops at Karst, whose precompiles op-geth prices wrongly, so that what follows is no truth any more.
    """
    rules, recorded = config(chain), answers(chain)
    executor = executor_class(rules)
    wrong, compared = [], 0
    for block in blocks(chain, executor):
        if rules.fork_at(block.header.number, block.header.timestamp).name == "karst":
            break
        execution = block.begin(executor)
        log_index = 0
        for position, raw in enumerate(block.transactions):
            digest = "0x" + decode_transaction(raw).hash.hex()
            place = {
                "blockHash": "0x" + block.header.hash.hex(),
                "blockNumber": block.header.number,
                "transactionHash": digest,
                "transactionPosition": position,
            }
            wanted = recorded.get(digest, [])
            texts = [JsonText() for _ in wanted]
            traced = [tracers.make(options, text, place, log_index) for (options, _), text in zip(wanted, texts, strict=True)]
            mux = tracers.MuxTracer()
            for index, (tracer, text) in enumerate(zip(traced, texts, strict=True)):
                mux.add(str(index), tracer, text)
            log_index += len(execution.apply(raw, tracer=mux if traced else None).receipt.logs)
            whole = JsonText()
            mux.finish(whole)
            results = orjson.loads(b"".join(pieces(whole.finish())))
            for index, (options, expected) in enumerate(wanted):
                compared += 1
                got = results[str(index)]
                if got != expected:
                    wrong.append((digest, options, got, expected))
    return wrong, compared


SAMPLE = {"recordings-jovian", "recordings-upgrades-bedrock", "recordings-upgrades-canyon", "recordings-upgrades-isthmus"}


def _parameter(chain: Path) -> Any:
    name = f"{chain.parent.name}-{chain.name}"
    return pytest.param(chain, id=name, marks=[] if name in SAMPLE else [pytest.mark.slow])


@needs_vectors
@pytest.mark.parametrize("chain", map(_parameter, CHAINS))
def test_traces_equal_op_geth(chain: Path) -> None:
    wrong, compared = differences(chain)
    assert compared
    assert not wrong, f"{len(wrong)} of {compared}, first: {wrong[0]}"


@needs_vectors
@pytest.mark.skipif(not available(), reason="the native core is not installed: `make native` builds it (needs cargo)")
@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: f"{chain.parent.name}-{chain.name}")
def test_native_traces_equal_op_geth(chain: Path) -> None:
    wrong, compared = differences(chain, NativeExecutor)
    assert compared
    assert not wrong, f"{len(wrong)} of {compared}, first: {wrong[0]}"


def test_unknown_tracer_is_refused() -> None:
    with pytest.raises(InvalidParams, match="nopeTracer is not defined"):
        tracers.make({"tracer": "nopeTracer"}, JsonText())
