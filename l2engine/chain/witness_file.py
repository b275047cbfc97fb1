"""The form of a witness file, for `l2engine replay`: JSON, gzipped. `conformance/witness.py` reads it."""

import gzip
import json
from pathlib import Path
from typing import Any

from l2engine.chain.witness import ExecutionWitness
from l2engine.rules.config import ChainConfig, geth_config
from l2engine.types.block import Block

PARTS = ("state", "codes", "keys", "headers")


def witness_document(config: ChainConfig, block: Block, witness: ExecutionWitness, sealed: bool = True) -> dict[str, Any]:
    """debug_executionWitness's answer with the chain's rules and the block beside it. `sealed` False says that the block's header is a
    draft, so that its hash means nothing."""
    parts = {name: ["0x" + item.hex() for item in getattr(witness, name)] for name in PARTS}
    return {"config": geth_config(config), "block": "0x" + block.encode().hex(), "sealed": sealed, **parts}


def write_witness(path: Path, document: dict[str, Any]) -> None:
    """Write a document as a file; `OSError` when that fails."""
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
