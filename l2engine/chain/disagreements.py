"""The record of a block on which two executors differ: a file with the block and its witness, for `l2engine replay`."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path

from l2engine.chain.witness import Witnesses
from l2engine.chain.witness_file import witness_document, write_witness
from l2engine.errors import ExecutorsDisagree, L2EngineError
from l2engine.rules.config import ChainConfig
from l2engine.types.block import Block
from l2engine.types.header import Header

log = logging.getLogger(__name__)

_KEPT = 100  # files in the folder; a pool full of such transactions must not fill the disk


class Disagreements:
    """Writes such files into a folder, made when needed; None is a folder among the system's temporary files."""

    def __init__(self, config: ChainConfig, witnesses: Witnesses, folder: Path | None = None) -> None:
        self._config, self._witnesses = config, witnesses
        self._folder = folder or Path(tempfile.gettempdir()) / "l2engine-witnesses"

    def keep(self, error: ExecutorsDisagree, parent: Header, block: Block, sealed: bool = True) -> Path | None:
        """Write the block's file and log its path; a failure is logged, since the disagreement itself matters more."""
        if not sealed:  # so that files of different transactions have different names
            block = replace(block, header=replace(block.header, transactions_root=block.transactions.root))
        path = self._folder / f"{block.number}-0x{block.hash.hex()}.json.gz"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not path.exists() and sum(1 for _ in self._folder.iterdir()) >= _KEPT:
                log.error("No witness written: %s holds %d files already", self._folder, _KEPT)
                return None
            witness = self._witnesses.of_block(error.executors, parent, block)
            document = {"disagreement": str(error)} | witness_document(self._config, block, witness, sealed)
            write_witness(path, document)
        except (L2EngineError, OSError) as problem:
            log.error("No witness of the disagreement could be written", extra={"fields": {"path": path, "err": problem}})
            return None
        log.critical("Witness written: try `l2engine replay --evm both %s`", path)
        return path
