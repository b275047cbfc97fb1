"""What stays of a block on which two executors differ: a file that holds the block and its witness, for `l2engine replay`."""

import gzip
import json
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from l2engine.chain.witness import ExecutionWitness, Witnesses
from l2engine.errors import ExecutorsDisagree, L2EngineError
from l2engine.rules.config import ChainConfig, geth_config
from l2engine.types.block import Block
from l2engine.types.header import Header

log = logging.getLogger(__name__)

_KEPT = 100  # files in the folder; a pool full of such transactions must not fill the disk


def witness_document(config: ChainConfig, block: Block, witness: ExecutionWitness, sealed: bool = True) -> dict[str, Any]:
    """The JSON of a witness file: debug_executionWitness's answer with the chain's rules and the block beside it. `sealed` False says
    that the block's header is a draft, so that its hash means nothing."""
    parts = {name: ["0x" + item.hex() for item in getattr(witness, name)] for name in ("state", "codes", "keys", "headers")}
    return {"config": geth_config(config), "block": "0x" + block.encode().hex(), "sealed": sealed, **parts}


class Disagreements:
    """Writes such files into a folder, made when needed; None is a folder among the system's temporary files."""

    def __init__(self, config: ChainConfig, witnesses: Witnesses, folder: Path | None = None) -> None:
        self._config, self._witnesses = config, witnesses
        self._folder = folder or Path(tempfile.gettempdir()) / "l2engine-witnesses"

    def keep(self, error: ExecutorsDisagree, parent: Header, block: Block, sealed: bool = True) -> Path | None:
        """Write the block's file and log its path; a failure is logged, since the disagreement itself matters more."""
        if not sealed:  # told apart by what is known of it
            block = replace(block, header=replace(block.header, transactions_root=block.transactions.root))
        path = self._folder / f"{block.number}-0x{block.hash.hex()}.json.gz"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and sum(1 for _ in self._folder.iterdir()) >= _KEPT:
                log.error("No witness written: %s holds %d files already", self._folder, _KEPT)
                return None
            witness = self._witnesses.of_block(error.executors, parent, block)
            document = {"disagreement": str(error)} | witness_document(self._config, block, witness, sealed)
            path.write_bytes(gzip.compress(json.dumps(document).encode()))
        except (L2EngineError, OSError) as problem:
            log.error("No witness of the disagreement could be written", extra={"fields": {"path": path, "err": problem}})
            return None
        log.critical("Witness written: try `l2engine replay --evm both %s`", path)
        return path
