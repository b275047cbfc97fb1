"""Rules of headers with the fork looked up, as the engine does once for each block."""

from l2engine.rules import eip1559, header
from l2engine.rules.config import ChainConfig
from l2engine.types.base import Wei
from l2engine.types.header import Header


def validate_header(config: ChainConfig, child: Header, parent: Header) -> None:
    header.validate_header(config, config.fork_at(child.number, child.timestamp), child, parent)


def base_fee(config: ChainConfig, parent: Header, number: int, timestamp: int) -> Wei | None:
    return eip1559.base_fee(config, config.fork_at(number, timestamp), parent)
