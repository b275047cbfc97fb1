"""Block witnesses, read and executed: the block, its parent's header and every preimage that executing it on the parent touches.

Two formats, both JSON, plain or .gz: kona's executor fixtures, and debug_executionWitness's answer with the block and the chain's
rules beside it. State is read through trie nodes found by their hash; the root after the block comes from the same partial
tries, so a witness must also hold the siblings that deletions pull up.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from genesis.registry import check_dev_rules
from l2engine.chain.payload import draft_block
from l2engine.chain.process import apply_all, block_env, seal
from l2engine.conformance.world import from_hex, to_int
from l2engine.errors import DecodeError, L2EngineError, StoreError
from l2engine.evm.executor import Executor
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.forks import L1Rules
from l2engine.rules.unknown_forks import genesis_times
from l2engine.store.trie import NOTHING, Node, Trie, decode_node
from l2engine.types import rlp
from l2engine.types.base import (
    EMPTY_CODE_HASH,
    EMPTY_ROOT,
    Address,
    BlockNumber,
    Hash32,
    encode_int,
    keccak,
)
from l2engine.types.block import Block, decode_block
from l2engine.types.header import Header, decode_header
from l2engine.types.json_file import parse_json
from l2engine.types.payload import PayloadAttributes
from l2engine.types.state import Account, StateDiff
from l2engine.types.storage import StateStore
from l2engine.types.transactions import Transactions


@dataclass(frozen=True, slots=True)
class Witness:
    """One block to execute from nothing but this."""

    config: ChainConfig
    parent: Header
    block: Block
    """Only the header fields that are known before execution are used."""
    expected_hash: Hash32 | None
    """None for a block that is not sealed yet."""
    preimages: Mapping[Hash32, bytes]


def read(path: Path) -> Witness:
    """A witness file, plain or .gz. `DecodeError` when it is neither of the two formats."""
    raw = path.read_bytes()
    try:
        document = parse_json(gzip.decompress(raw) if path.suffix == ".gz" else raw)
        return _from_fixture(document) if "executing_payload" in document else from_json(document)
    except (KeyError, TypeError, ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DecodeError(f"{path} is not a witness file: {why}") from error


def execute(witness: Witness, executor: Executor) -> Header:
    """The header of the block that results on the parent. `L2EngineError` when none does, `StoreError` when that, or another hash
    than the expected one, may come of what the witness lacks."""
    state = WitnessState(witness.parent, witness.preimages)
    try:
        header = run(witness, executor, state)
    except L2EngineError as error:
        if state.missing:
            raise state.missing[0] from error
        raise
    if state.missing and header.hash != witness.expected_hash:
        raise state.missing[0]
    return header


def run(witness: Witness, executor: Executor, state: "WitnessState") -> Header:
    """The header of the block that results on `state`, whatever that lacks."""
    config, parent, block = witness.config, witness.parent, witness.block
    config.require_known(block.number, block.header.timestamp)
    fork = config.fork_at(block.number, block.header.timestamp)
    execution = executor.begin(state, block_env(config, block, parent), lambda diff: state.prepare(parent.hash, diff).root)
    failed = apply_all(execution, block.transactions)
    if failed is not None:
        raise failed[1]
    result = execution.finish()
    return seal(block.header, fork, block, result, state.prepare(parent.hash, result.diff), cast(StateStore, state))


@dataclass(frozen=True, slots=True)
class PreparedWitness:
    """The roots after a block."""

    root: Hash32
    storage_roots: Mapping[Address, Hash32]
    """Of the accounts that the block changed."""


class WitnessState:
    """The state after the parent as far as the witness shows it: a `StateView`, and of `StateStore` what sealing a block needs.

    An account or slot that it does not show is taken for one that is not there, and noted in `missing`: executors differ in
    what they read of frames that fail anyway. That it did not matter is what the block's hash proves.
    """

    def __init__(self, parent: Header, preimages: Mapping[Hash32, bytes]) -> None:
        self._parent, self._preimages = parent, preimages
        self.missing: list[StoreError] = []
        self._fields = lru_cache(maxsize=None)(self._read_fields)

    def account(self, address: Address) -> Account | None:
        fields = self._fields(address)
        return None if fields is None else Account(int.from_bytes(fields[0], "big"), int.from_bytes(fields[1], "big"), fields[3])

    def storage(self, address: Address, slot: int) -> int:
        value = self._get(self._storage_root(address), keccak(slot.to_bytes(32, "big")))
        return 0 if value is None else int.from_bytes(rlp.decode(value), "big")

    def has_storage(self, address: Address) -> bool:
        return self._storage_root(address) != EMPTY_ROOT

    def code(self, code_hash: Hash32) -> bytes:
        return b"" if code_hash == EMPTY_CODE_HASH else self._preimage(code_hash)

    def block_hash(self, number: BlockNumber) -> Hash32 | None:
        header = self._parent
        while header.number > number:
            header = decode_header(self._preimage(header.parent_hash))
        return header.hash if header.number == number else None

    def prepare(self, parent_hash: Hash32, diff: StateDiff) -> PreparedWitness:
        """The roots once `diff` is applied."""
        accounts, storage_roots = [], {}
        for address, change in diff.accounts.items():
            if change.account is None:
                accounts.append((keccak(address).hex(), b""))
                continue
            storage = _WitnessTrie(self._preimages, EMPTY_ROOT if change.destroyed else self._storage_root(address))
            slots = ((keccak(slot.to_bytes(32, "big")).hex(), value) for slot, value in change.storage.items())
            root = storage.update(sorted((key, rlp.encode(encode_int(value)) if value else b"") for key, value in slots))
            storage_roots[address] = root
            after = change.account
            accounts.append(
                (keccak(address).hex(), rlp.encode([encode_int(after.nonce), encode_int(after.balance), root, after.code_hash]))
            )
        return PreparedWitness(_WitnessTrie(self._preimages, self._parent.state_root).update(sorted(accounts)), storage_roots)

    def storage_root(self, state: PreparedWitness, address: Address) -> Hash32:
        """An account's storage root after the block."""
        return state.storage_roots.get(address) or self._storage_root(address)

    def _storage_root(self, address: Address) -> Hash32:
        fields = self._fields(address)
        return EMPTY_ROOT if fields is None else fields[2]

    def _read_fields(self, address: Address) -> list[bytes] | None:
        encoded = self._get(self._parent.state_root, keccak(address))
        return None if encoded is None else rlp.decode(encoded)

    def _get(self, root: Hash32, key: Hash32) -> bytes | None:
        """The value under a hashed key, or None."""
        if root == EMPTY_ROOT:
            return None
        rest, ref = key.hex(), b"\xa0" + root
        while ref != NOTHING:
            try:
                node = decode_node(self._preimage(ref[1:]) if len(ref) == 33 else ref)
            except StoreError as error:
                self.missing.append(error)
                return None
            if isinstance(node, list):
                rest, ref = rest[1:], node[int(rest[0], 16)]
            elif node[2]:
                return node[1] if node[0] == rest else None
            elif rest.startswith(node[0]):
                rest, ref = rest[len(node[0]) :], node[1]
            else:
                return None
        return None

    def _preimage(self, digest: Hash32) -> bytes:
        try:
            return self._preimages[digest]
        except KeyError:
            raise StoreError(f"the witness has no preimage of {digest.hex()}") from None


class _WitnessTrie(Trie):
    """A trie whose old nodes are found by hash."""

    def __init__(self, preimages: Mapping[Hash32, bytes], root: Hash32) -> None:
        super().__init__(lambda key: None, root)
        self._preimages = preimages

    def _load(self, path: str, ref: bytes) -> Node:
        if len(ref) != 33:
            return decode_node(ref)
        raw = self.changes.get(self._key(path)) or self._preimages.get(ref[1:])
        if raw is None:
            raise StoreError(f"the witness has no trie node {ref[1:].hex()}")
        return decode_node(raw)


# ---- the file's JSON ------------------------------------------------------------------------------------------------


def _from_fixture(document: Mapping[str, Any]) -> Witness:
    """kona's form."""
    config, parent = chain_config(_genesis_config(document["rollup_config"])), _header(document["parent_header"])
    return Witness(
        config=config,
        parent=parent,
        block=draft_block(config, parent, _attributes(document["executing_payload"])),
        expected_hash=from_hex(document["expected_block_hash"]),
        preimages={from_hex(key): from_hex(value) for key, value in document["preimages"].items()},
    )


def from_json(document: Mapping[str, Any]) -> Witness:
    """debug_executionWitness's form with `config` (as in a geth genesis) and `block` (RLP), or `header` (RLP) and `transactions`."""
    config = check_dev_rules(chain_config(document["config"]))
    if "block" in document:
        block = decode_block(from_hex(document["block"]))
    else:
        header = decode_header(from_hex(document["header"]))
        shanghai = config.fork_at(header.number, header.timestamp).has(L1Rules.SHANGHAI)
        block = Block(header, Transactions(map(from_hex, document["transactions"])), withdrawals=() if shanghai else None)
    preimages = {keccak(raw): raw for name in ("state", "codes", "headers") for raw in map(from_hex, document[name])}
    if block.header.parent_hash not in preimages:
        raise ValueError("the parent is not among the headers")
    parent = decode_header(preimages[block.header.parent_hash])
    return Witness(config, parent, block, block.hash if document.get("sealed", True) else None, preimages)


def _genesis_config(rollup: Mapping[str, Any]) -> dict[str, Any]:
    """A rollup node's configuration in the terms of a geth genesis."""
    times = {**genesis_times(rollup), "regolithTime": rollup.get("regolith_time") or 0}
    return {"chainId": rollup["l2_chain_id"], "bedrockBlock": 0, **times, "optimism": rollup["chain_op_config"]}


def _header(fields: Mapping[str, Any]) -> Header:
    return Header(
        parent_hash=from_hex(fields["parentHash"]),
        ommers_hash=from_hex(fields["sha3Uncles"]),
        beneficiary=from_hex(fields["miner"]),
        state_root=from_hex(fields["stateRoot"]),
        transactions_root=from_hex(fields["transactionsRoot"]),
        receipts_root=from_hex(fields["receiptsRoot"]),
        logs_bloom=from_hex(fields["logsBloom"]),
        difficulty=to_int(fields["difficulty"]),
        number=to_int(fields["number"]),
        gas_limit=to_int(fields["gasLimit"]),
        gas_used=to_int(fields["gasUsed"]),
        timestamp=to_int(fields["timestamp"]),
        extra_data=from_hex(fields["extraData"]),
        prev_randao=from_hex(fields["mixHash"]),
        nonce=from_hex(fields["nonce"]),
        base_fee_per_gas=_optional_int(fields.get("baseFeePerGas")),
        withdrawals_root=_optional_bytes(fields.get("withdrawalsRoot")),
        blob_gas_used=_optional_int(fields.get("blobGasUsed")),
        excess_blob_gas=_optional_int(fields.get("excessBlobGas")),
        parent_beacon_block_root=_optional_bytes(fields.get("parentBeaconBlockRoot")),
        requests_hash=_optional_bytes(fields.get("requestsHash")),
    )


def _attributes(fields: Mapping[str, Any]) -> PayloadAttributes:
    return PayloadAttributes(
        timestamp=to_int(fields["timestamp"]),
        prev_randao=from_hex(fields["prevRandao"]),
        suggested_fee_recipient=from_hex(fields["suggestedFeeRecipient"]),
        withdrawals=(),
        parent_beacon_block_root=_optional_bytes(fields.get("parentBeaconBlockRoot")),
        transactions=Transactions(from_hex(raw) for raw in fields["transactions"]),
        no_tx_pool=True,
        gas_limit=to_int(fields["gasLimit"]),
        eip_1559_params=_optional_bytes(fields.get("eip1559Params")),
        min_base_fee=_optional_int(fields.get("minBaseFee")),
    )


def _optional_int(value: str | None) -> int | None:
    return None if value is None else to_int(value)


def _optional_bytes(value: str | None) -> bytes | None:
    return None if value is None else from_hex(value)
