"""Reads a geth genesis file (plain, .gz or .zst) into a chain configuration, block 0 and an allocation.

Every field is checked, and an error names it. The header's optional fields follow the forks active at the genesis timestamp.
Source: digest 6.1, 6.2.
"""

import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from genesis.config_section import check_no_gap, read_section
from genesis.fields import Fields, address, word
from l2engine.errors import ConfigError, InvalidBlock
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.eip1559 import INITIAL_BASE_FEE, base_fee
from l2engine.rules.forks import L1Rules
from l2engine.rules.predeploys import L2_TO_L1_MESSAGE_PASSER
from l2engine.types.base import (
    EMPTY_BLOOM,
    EMPTY_CODE_HASH,
    EMPTY_OMMERS_HASH,
    EMPTY_REQUESTS_HASH,
    EMPTY_ROOT,
    ZERO_HASH,
    Address,
    Hash32,
    encode_int,
    keccak,
)
from l2engine.types.block import Block
from l2engine.types.genesis import GenesisAccount
from l2engine.types.header import Header
from l2engine.types.json_file import parse_json
from l2engine.types.transactions import Transactions
from l2engine.types.trie_root import rlp_encode, trie_root

_DEFAULT_GAS_LIMIT, _DEFAULT_DIFFICULTY = 4_712_388, 131_072  # geth's, when the file names none


@dataclass(frozen=True, slots=True)
class Genesis:
    """A chain's genesis block and its rules."""

    config: ChainConfig
    header: Header
    alloc: Mapping[Address, GenesisAccount]
    geth_config: Mapping[str, Any]
    """The `config` section as read, which the database keeps."""

    @property
    def hash(self) -> Hash32:
        return self.header.hash

    @property
    def has_state(self) -> bool:
        """Whether the allocation is the whole state; a file that names only the state's hash has none."""
        return bool(self.alloc) or self.header.state_root == EMPTY_ROOT

    @property
    def block(self) -> Block:
        return Block(self.header, Transactions(), (), None if self.header.withdrawals_root is None else ())


def read(path: Path, what: str = "genesis file") -> dict[str, Any]:
    """The JSON object in a file, plain or compressed; `ConfigError`, which says `what` it should be, when it cannot be read or is none."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:4] == b"\x28\xb5\x2f\xfd":
            frame = zstandard.ZstdDecompressor(_dictionary(path, data)).decompressobj()
            data = frame.decompress(data)
            if not frame.eof:
                raise EOFError("the compressed file is cut off")
        content = parse_json(data)
    except (OSError, EOFError, ValueError, zlib.error, zstandard.ZstdError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {what} {path}: {why}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"cannot read {what} {path}: not a JSON object")
    return content


def _dictionary(path: Path, data: bytes) -> zstandard.ZstdCompressionDict | None:
    """The zstd dictionary that a file of the superchain registry was compressed with: `dictionary`, beside it or in a folder above it."""
    wanted = zstandard.get_frame_parameters(data).dict_id
    if not wanted:
        return None
    for folder in list(path.resolve().parents)[:3]:
        if (folder / "dictionary").is_file():
            dictionary = zstandard.ZstdCompressionDict((folder / "dictionary").read_bytes())
            if dictionary.dict_id() == wanted:
                return dictionary
    raise ValueError(f"it is compressed with the registry's dictionary {wanted}; put superchain/extra/dictionary beside it")


def load(source: Path | str | Mapping[str, Any], geth_config: Mapping[str, Any] | None = None) -> Genesis:
    """The genesis in a file or in an object already read. `geth_config`, as `config_section` gives it, replaces the file's own.

    `ConfigError` names the field that is missing or wrong.
    """
    content = source if isinstance(source, Mapping) else read(Path(source))
    section = geth_config if geth_config is not None else config_section(content)
    try:
        check_no_gap(section)
        config = chain_config(section)
        fields = Fields(content)
        alloc = dict(_account(key, account) for key, account in fields.entries("alloc"))
        header = _header(config, "ethash" in section, fields, alloc)
    except ConfigError as error:
        raise ConfigError(f"invalid genesis: {error}") from error
    return Genesis(config, header, alloc, section)


def check_first_block(genesis: Genesis) -> None:
    """Refuse a genesis that no block can follow: from Holocene on, the base fee of block 1 depends on extraData."""
    try:
        base_fee(genesis.config, genesis.config.fork_at(0, genesis.header.timestamp), genesis.header)
    except InvalidBlock as error:
        raise ConfigError(f"invalid genesis: extraData: {error}") from error


def config_section(content: Mapping[str, Any]) -> dict[str, Any]:
    """The `config` section of a genesis, checked and with geth's names; `ConfigError` when there is none."""
    found = dict(Fields(content).entries("config"))
    if not found:
        raise ConfigError("genesis has no chain configuration")
    try:
        return read_section(found)
    except ConfigError as error:
        raise ConfigError(f"invalid genesis: {error}") from error


def state_root(alloc: Mapping[Address, GenesisAccount]) -> Hash32:
    """The state root of an allocation."""
    return trie_root(
        (
            keccak(address),
            rlp_encode(
                [
                    encode_int(account.nonce),
                    encode_int(account.balance),
                    account.storage_root,
                    keccak(account.code) if account.code else EMPTY_CODE_HASH,
                ]
            ),
        )
        for address, account in alloc.items()
    )


def _header(config: ChainConfig, has_ethash: bool, fields: Fields, alloc: Mapping[Address, GenesisAccount]) -> Header:
    timestamp = fields.number("timestamp", 63)  # later ones than it must fit in 64 bits
    fork = config.fork_at(0, timestamp)
    fee = withdrawals_root = beacon_root = requests_hash = None
    blob_gas_used = excess_blob_gas = None
    if fork.has(L1Rules.LONDON):
        fee = fields.number("baseFeePerGas", 64, INITIAL_BASE_FEE)
    if fork.has(L1Rules.SHANGHAI):
        withdrawals_root = EMPTY_ROOT
        if fork.withdrawals_root_is_message_passer and L2_TO_L1_MESSAGE_PASSER in alloc:
            withdrawals_root = alloc[L2_TO_L1_MESSAGE_PASSER].storage_root
    if fork.has(L1Rules.CANCUN):
        blob_gas_used, excess_blob_gas = fields.number("blobGasUsed", 64), fields.number("excessBlobGas", 64)
        beacon_root = ZERO_HASH  # EIP-4788: a genesis has no parent, whatever its file says
    if fork.has(L1Rules.PRAGUE):
        requests_hash = EMPTY_REQUESTS_HASH
    header = Header(
        parent_hash=fields.data("parentHash", 32),
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=fields.data("coinbase", 20),
        state_root=_state_root(fields, alloc),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=fields.number("difficulty", 256, _DEFAULT_DIFFICULTY if has_ethash else 0),
        number=fields.number("number", 64),
        gas_limit=fields.number("gasLimit", 64) or _DEFAULT_GAS_LIMIT,
        gas_used=fields.number("gasUsed", 64),
        timestamp=timestamp,
        extra_data=fields.data("extraData"),
        prev_randao=fields.data("mixHash", 32),
        nonce=fields.number("nonce", 64).to_bytes(8, "big"),
        base_fee_per_gas=fee,
        withdrawals_root=withdrawals_root,
        blob_gas_used=blob_gas_used,
        excess_blob_gas=excess_blob_gas,
        parent_beacon_block_root=beacon_root,
        requests_hash=requests_hash,
    )
    if header.number != 0:
        raise ConfigError(f"number is {header.number}, but a chain begins with block 0")
    if header.gas_used > header.gas_limit:
        raise ConfigError(f"gasUsed is {header.gas_used}, above gasLimit {header.gas_limit}")
    return header


def _state_root(fields: Fields, alloc: Mapping[Address, GenesisAccount]) -> Hash32:
    """The allocation's, or `stateHash` where there is none; where there are both, they must agree."""
    given = fields.data("stateHash", 32) if fields.has("stateHash") else None
    computed = state_root(alloc)
    if given is None or given == computed:
        return computed
    if alloc:
        raise ConfigError(f"stateHash is 0x{given.hex()}, but the state root of alloc is 0x{computed.hex()}")
    return given


def _account(key: str, value: Any) -> tuple[Address, GenesisAccount]:
    """One entry of an allocation; the error of a bad one says which."""
    where = f"account {key:.80}: "
    fields = Fields(value, where)
    slot_name = where + "storage slot "
    return address(key), GenesisAccount(
        balance=fields.number("balance", 256),
        nonce=fields.number("nonce", 64),
        code=fields.data("code"),
        storage={word(slot, slot_name + slot): word(item, slot_name + slot) for slot, item in fields.entries("storage")},
    )
