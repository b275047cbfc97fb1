"""Recorded chains replayed on states in memory, for tests that look inside execution."""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from l2engine.conformance.world import World, from_hex
from l2engine.evm.executor import BlockExecution, Executor
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.types.base import Hash32
from l2engine.types.environment import BlockEnv
from l2engine.types.header import Header, decode_header


@dataclass(frozen=True)
class RecordedBlock:
    """A block of a recording with the state it starts from."""

    header: Header
    parent: Header
    before: World
    transactions: tuple[bytes, ...]

    def begin(self, executor: Executor) -> BlockExecution:
        header = self.header
        env = BlockEnv(
            number=header.number,
            timestamp=header.timestamp,
            gas_limit=header.gas_limit,
            beneficiary=header.beneficiary,
            prev_randao=header.prev_randao,
            base_fee_per_gas=header.base_fee_per_gas,
            parent=self.parent,
            parent_beacon_block_root=header.parent_beacon_block_root,
            excess_blob_gas=header.excess_blob_gas,
            extra_data=header.extra_data,
            withdrawals=() if header.withdrawals_root is not None else None,
        )
        return executor.begin(self.before, env)


def config(chain: Path) -> ChainConfig:
    return chain_config(json.loads((chain / "genesis.json").read_text())["config"])


def blocks(chain: Path, executor: Executor) -> Iterator[RecordedBlock]:
    """The blocks of a recording in order, executed one after the other."""
    genesis = json.loads((chain / "genesis.json").read_text())
    hashes: dict[int, Hash32] = {}
    world = World.from_json({"0x" + key.removeprefix("0x"): value for key, value in genesis["alloc"].items()}, hashes.get)
    parent: Header | None = None
    with gzip.open(chain / "blocks.jsonl.gz", "rt") as file:
        for line in file:
            entry = json.loads(line)
            payload = entry["newPayload"]["params"][0]
            header = decode_header(from_hex(entry["rawHeader"]))
            parent = parent or _genesis_header(genesis, header)
            hashes[parent.number] = header.parent_hash
            block = RecordedBlock(header, parent, world, tuple(from_hex(raw) for raw in payload["transactions"]))
            yield block
            execution = block.begin(executor)
            for raw in block.transactions:
                execution.apply(raw)
            world, parent = world.after(execution.finish().diff), header


def _genesis_header(genesis: dict[str, Any], first: Header) -> Header:
    """As much of block 0 as execution looks at; its hash is the first block's parent hash."""
    header = Header(
        **{
            **{name: getattr(first, name) for name in Header.__dataclass_fields__},
            "number": 0,
            "timestamp": int(genesis["timestamp"], 16),
            "extra_data": from_hex(genesis["extraData"]),
        }
    )
    object.__setattr__(header, "_hash", first.parent_hash)
    return header
