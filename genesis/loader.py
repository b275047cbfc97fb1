"""Reads a genesis in geth's format (plain, gzip or Zstandard JSON) and computes block 0.

The header's fields follow from the forks that are active at the genesis timestamp. Sources: digest 6.1 and 6.2;
op-geth's genesis format; superchain-registry for `stateHash` and the Zstandard dictionary.
"""

import gzip
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rlp
import zstandard

from l2engine.errors import ConfigError
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.forks import Fork, L1Rules
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
    Wei,
    encode_int,
    keccak,
)
from l2engine.types.block import Block, Header
from l2engine.types.trie_root import trie_root

INITIAL_BASE_FEE = 10**9  # EIP-1559
DEFAULT_GAS_LIMIT = 4_712_388  # what geth puts for a gasLimit of 0

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class GenesisAccount:
    """An account that exists in block 0."""

    balance: Wei = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)
    """A slot with value 0 is as good as absent."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """Block 0 with its state and the rules that follow it."""

    config: ChainConfig
    header: Header
    alloc: Mapping[Address, GenesisAccount]
    """Empty for chains whose file gives only a state root (they began before Bedrock)."""
    config_json: Mapping[str, Any]
    """The `config` section in geth's form."""

    @property
    def hash(self) -> Hash32:
        return self.header.hash

    @property
    def block(self) -> Block:
        has_withdrawals = self.config.fork_at(self.header.number, self.header.timestamp).has(L1Rules.SHANGHAI)
        return Block(self.header, (), (), () if has_withdrawals else None)


def load(source: Path | str | Mapping[str, Any], config: Mapping[str, Any] | None = None) -> Genesis:
    """The genesis in a file, or in its already parsed JSON. `config` takes the place of the file's own `config`.

    `ConfigError` for a file that cannot be read, is no genesis, or has no configuration.
    """
    document = source if isinstance(source, Mapping) else read_json(Path(source))
    config_json = config if config is not None else document.get("config")
    if not isinstance(config_json, Mapping):
        raise ConfigError("the genesis has no config section; name its chain with --network")
    try:
        rules = chain_config(config_json)
        alloc = {_address(key): _account(value) for key, value in document.get("alloc", {}).items()}
        header = _header(document, rules, alloc)
    except KeyError as error:
        raise ConfigError(f"genesis: missing required field {error}") from error
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ConfigError(f"genesis: {error}") from error
    return Genesis(rules, header, alloc, config_json)


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file that may be compressed with gzip or Zstandard."""
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        elif data.startswith(_ZSTD_MAGIC):
            data = _decompress_zstd(data, path)
        document = json.loads(data)  # not orjson: balances and difficulties may be numbers beyond 64 bits
    except (OSError, EOFError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"cannot read {path}: not a JSON object")
    return document


def state_root(alloc: Mapping[Address, GenesisAccount]) -> Hash32:
    """The state root of an allocation."""
    return trie_root((keccak(address), _leaf(account)) for address, account in alloc.items())


def storage_root(account: GenesisAccount | None) -> Hash32:
    """The storage root of an account; the empty root without one."""
    if account is None or not account.storage:
        return EMPTY_ROOT
    items = ((keccak(slot.to_bytes(32, "big")), rlp.encode(encode_int(value))) for slot, value in account.storage.items() if value)
    return trie_root(items)


def _header(document: Mapping[str, Any], rules: ChainConfig, alloc: Mapping[Address, GenesisAccount]) -> Header:
    number, timestamp = _int(document.get("number") or 0), _int(document.get("timestamp") or 0)
    fork = rules.fork_at(number, timestamp)
    state_hash = document.get("stateHash")
    if state_hash is None and "alloc" not in document:
        raise KeyError("alloc")
    if state_hash is not None and alloc:
        raise ValueError("both an allocation and a stateHash")
    return Header(
        parent_hash=_fixed(document.get("parentHash"), 32),
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=_fixed(document.get("coinbase"), 20),
        state_root=_fixed(state_hash, 32) if state_hash is not None else state_root(alloc),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=_int(document["difficulty"]),
        number=number,
        gas_limit=_int(document["gasLimit"]) or DEFAULT_GAS_LIMIT,
        gas_used=_int(document.get("gasUsed") or 0),
        timestamp=timestamp,
        extra_data=_bytes(document.get("extraData") or "0x"),
        prev_randao=_fixed(document.get("mixHash"), 32),
        nonce=_int(document.get("nonce") or 0).to_bytes(8, "big"),
        **_fork_fields(document, fork, alloc),
    )


def _fork_fields(document: Mapping[str, Any], fork: Fork, alloc: Mapping[Address, GenesisAccount]) -> dict[str, Any]:
    """The header fields that only some forks have."""
    fields: dict[str, Any] = {}
    if fork.has(L1Rules.LONDON):
        base_fee = document.get("baseFeePerGas")
        fields["base_fee_per_gas"] = INITIAL_BASE_FEE if base_fee is None else _int(base_fee)
    if fork.has(L1Rules.SHANGHAI):
        is_message_passer = fork.withdrawals_root_is_message_passer
        fields["withdrawals_root"] = storage_root(alloc.get(L2_TO_L1_MESSAGE_PASSER)) if is_message_passer else EMPTY_ROOT
    if fork.has(L1Rules.CANCUN):
        fields["blob_gas_used"] = _int(document.get("blobGasUsed") or 0)
        fields["excess_blob_gas"] = _int(document.get("excessBlobGas") or 0)
        fields["parent_beacon_block_root"] = ZERO_HASH
    if fork.has(L1Rules.PRAGUE):
        fields["requests_hash"] = EMPTY_REQUESTS_HASH
    return fields


def _leaf(account: GenesisAccount) -> bytes:
    code_hash = keccak(account.code) if account.code else EMPTY_CODE_HASH
    leaf: bytes = rlp.encode([encode_int(account.nonce), encode_int(account.balance), storage_root(account), code_hash])
    return leaf


def _account(entry: Mapping[str, Any]) -> GenesisAccount:
    storage = {_hex_int(slot): _hex_int(value) for slot, value in (entry.get("storage") or {}).items()}
    return GenesisAccount(_int(entry.get("balance") or 0), _int(entry.get("nonce") or 0), _bytes(entry.get("code") or "0x"), storage)


def _address(text: str) -> Address:
    return bytes.fromhex(text.removeprefix("0x").rjust(40, "0"))


def _int(value: int | str) -> int:
    """A number as geth writes it: hexadecimal with 0x, decimal without, or a JSON number."""
    number = value if isinstance(value, int) else int(value, 16 if value[:2] in ("0x", "0X") else 10)
    if not 0 <= number < 2**256:
        raise ValueError(f"number out of range: {value}")
    return number


def _hex_int(text: str) -> int:
    """A storage slot or value: always hexadecimal, with or without 0x and leading zeros."""
    number = int(text, 16)
    if not 0 <= number < 2**256:
        raise ValueError(f"storage word out of range: {text}")
    return number


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _fixed(text: str | None, length: int) -> bytes:
    value = bytes(length) if text is None else _bytes(text)
    if len(value) != length:
        raise ValueError(f"expected {length} bytes, got {text}")
    return value


def _decompress_zstd(data: bytes, path: Path) -> bytes:
    """Decompress; the registry's own files need the `dictionary` that lies some folders above them."""
    parameters = zstandard.get_frame_parameters(data)
    dictionary = None
    if parameters.dict_id:
        found = next((folder / "dictionary" for folder in path.resolve().parents if (folder / "dictionary").is_file()), None)
        if found is None:
            raise ConfigError(
                f"{path} needs the registry's Zstandard dictionary (superchain/extra/dictionary): put it beside the file, "
                f"or decompress with `zstd -d -D dictionary`"
            )
        dictionary = zstandard.ZstdCompressionDict(found.read_bytes())
    try:
        return zstandard.ZstdDecompressor(dict_data=dictionary).stream_reader(io.BytesIO(data)).read()
    except zstandard.ZstdError as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
