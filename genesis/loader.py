"""Reads a geth genesis file (plain, .gz or .zst) into a chain configuration, block 0 and an allocation.

The header's optional fields follow the forks active at the genesis timestamp. Source: digest 6.1, 6.2.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zstandard

from l2engine.errors import ConfigError
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.eip1559 import INITIAL_BASE_FEE
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
        content = json.loads(data)
    except (OSError, EOFError, ValueError, zstandard.ZstdError) as error:
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
    """The genesis in a file or in an object already read. `geth_config` replaces the file's own `config` section.

    `ConfigError` names the field that is missing or wrong.
    """
    content = source if isinstance(source, Mapping) else read(Path(source))
    config_section = geth_config if geth_config is not None else content.get("config")
    if not config_section:
        raise ConfigError("genesis has no chain configuration")
    try:
        config = chain_config(config_section)
        alloc = dict(_entry(address, account) for address, account in (content.get("alloc") or {}).items())
        header = _header(config, config_section, content, alloc)
    except ValueError as error:
        raise ConfigError(f"invalid genesis: {error}") from error
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(f"invalid genesis: {type(error).__name__}: {error}") from error
    return Genesis(config, header, alloc, config_section)


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


def _header(
    config: ChainConfig, config_section: Mapping[str, Any], content: Mapping[str, Any], alloc: Mapping[Address, GenesisAccount]
) -> Header:
    timestamp = _number(content, "timestamp")
    number = _number(content, "number")
    fork = config.fork_at(number, timestamp)
    base_fee = withdrawals_root = beacon_root = requests_hash = None
    blob_gas_used = excess_blob_gas = None
    if fork.has(L1Rules.LONDON):
        base_fee = INITIAL_BASE_FEE if content.get("baseFeePerGas") is None else _number(content, "baseFeePerGas")
    if fork.has(L1Rules.SHANGHAI):
        withdrawals_root = EMPTY_ROOT
        if fork.withdrawals_root_is_message_passer and L2_TO_L1_MESSAGE_PASSER in alloc:
            withdrawals_root = alloc[L2_TO_L1_MESSAGE_PASSER].storage_root
    if fork.has(L1Rules.CANCUN):
        blob_gas_used, excess_blob_gas = _number(content, "blobGasUsed"), _number(content, "excessBlobGas")
        beacon_root = _bytes(content, "parentBeaconBlockRoot", 32)
    if fork.has(L1Rules.PRAGUE):
        requests_hash = EMPTY_REQUESTS_HASH
    difficulty = _number(content, "difficulty")
    if content.get("difficulty") is None and config_section.get("ethash") is not None:
        difficulty = _DEFAULT_DIFFICULTY
    return Header(
        parent_hash=_bytes(content, "parentHash", 32),
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=_bytes(content, "coinbase", 20),
        state_root=_bytes(content, "stateHash", 32) if content.get("stateHash") else state_root(alloc),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=difficulty,
        number=number,
        gas_limit=_number(content, "gasLimit") or _DEFAULT_GAS_LIMIT,
        gas_used=_number(content, "gasUsed"),
        timestamp=timestamp,
        extra_data=_bytes(content, "extraData"),
        prev_randao=_bytes(content, "mixHash" if content.get("mixHash") else "mixhash", 32),
        nonce=_number(content, "nonce").to_bytes(8, "big"),
        base_fee_per_gas=base_fee,
        withdrawals_root=withdrawals_root,
        blob_gas_used=blob_gas_used,
        excess_blob_gas=excess_blob_gas,
        parent_beacon_block_root=beacon_root,
        requests_hash=requests_hash,
    )


def _entry(address: str, account: Mapping[str, Any]) -> tuple[Address, GenesisAccount]:
    """One entry of an allocation; the error of a bad one says which."""
    try:
        return bytes.fromhex(address.removeprefix("0x").rjust(40, "0")), GenesisAccount(
            balance=_number(account, "balance"),
            nonce=_number(account, "nonce"),
            code=_bytes(account, "code"),
            storage={int(slot, 16): int(value, 16) for slot, value in (account.get("storage") or {}).items()},
        )
    except ValueError as error:
        raise ValueError(f"account {address}: {error}") from error


def _bytes(source: Mapping[str, Any], name: str, length: int | None = None) -> bytes:
    """Bytes of any length, or a hash or address; empty or zeros when absent."""
    text = source.get(name)
    if text is None:
        return ZERO_HASH[: length or 0]
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise ValueError(f"{name} is not hexadecimal: {text[:80]!r}") from None
    if length is not None and len(value) != length:
        raise ValueError(f"{name} has {len(value)} bytes instead of {length}: {text[:80]}")
    return value


def _number(source: Mapping[str, Any], name: str) -> int:
    """A number as genesis files write it: hex or decimal text, or a JSON number; 0 when absent."""
    value = source.get(name)
    if value is None or value == "":
        return 0
    try:
        number = value if isinstance(value, int) else int(value, 16 if value.startswith("0x") else 10)
    except ValueError:
        raise ValueError(f"{name} is not a number: {value!r}") from None
    if number < 0:
        raise ValueError(f"{name} is negative: {value}")
    return int(number)
