"""Genesis files in every form that geth writes or reads."""

import gzip
import json
from pathlib import Path

import pytest
import zstandard

from genesis.loader import load, state_root
from l2engine.errors import ConfigError
from l2engine.types.base import EMPTY_REQUESTS_HASH, EMPTY_ROOT, ZERO_HASH
from l2engine.types.block import decode_block
from l2engine.types.genesis import GenesisAccount
from l2engine.types.header import decode_header
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors

MESSAGE_PASSER = "4200000000000000000000000000000000000016"
OP_SECTION = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}
OP_FORKS = ["regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst", "lagoon"]


def op_genesis(last_fork="bedrock", **changes):
    """A genesis with all OP forks up to `last_fork` active."""
    active = OP_FORKS[: OP_FORKS.index(last_fork) + 1] if last_fork != "bedrock" else []
    config = {"chainId": 901, "londonBlock": 0, "bedrockBlock": 0, "terminalTotalDifficulty": 0, "optimism": OP_SECTION}
    config |= {fork + "Time": 0 for fork in active}
    return {"config": config, "difficulty": "0x0", "gasLimit": "0x1c9c380", "timestamp": "0x64", "alloc": {}} | changes


@needs_vectors
@pytest.mark.parametrize("path", sorted((VECTORS / "recordings").glob("*/genesis.json")), ids=lambda path: path.parent.name)
def test_recorded_chains(path: Path):
    assert "0x" + load(path).hash.hex() == path.with_name("genesis_hash.txt").read_text().strip()


@needs_vectors
@pytest.mark.parametrize("path", sorted((VECTORS / "recordings-upgrades").glob("*/genesis.json")), ids=lambda path: path.parent.name)
def test_recorded_chains_with_real_predeploys(path: Path):
    first = next(iter(json_lines(path.with_name("blocks.jsonl.gz"))))
    assert load(path).hash == decode_header(bytes.fromhex(first["rawHeader"][2:])).parent_hash


@needs_vectors
@pytest.mark.parametrize("folder", ["execution-apis", "devp2p-suite/v1.15.11", "devp2p-suite/v1.16.9", "devp2p-suite/v1.17.5"])
def test_ethereum_chains(folder: str):
    genesis = load(VECTORS / folder / "genesis.json")
    chain = (VECTORS / folder / "chain.rlp").read_bytes()
    length = 1 + (size := chain[0] - 0xF7) + int.from_bytes(chain[1 : 1 + size], "big")
    assert genesis.hash == decode_block(chain[:length]).header.parent_hash


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["plain", "gz", "zst"])
def test_compressed_files(tmp_path: Path, pack):
    document = op_genesis("jovian")
    path = tmp_path / "genesis.bin"  # the content decides, not the name
    path.write_bytes(pack(json.dumps(document).encode()))
    assert load(path).hash == load(document).hash == load(str(path)).hash


def test_a_file_as_the_registry_keeps_it(tmp_path: Path):
    """Compressed with a dictionary that lies some folders above, as in a checkout of the superchain registry."""
    document = op_genesis("jovian")
    text = json.dumps(document).encode()
    samples = [text[i % 50 :] + bytes([i % 256]) for i in range(200)]
    dictionary = zstandard.train_dictionary(4096, samples)
    path = tmp_path / "genesis" / "mainnet" / "some.json.zst"
    path.parent.mkdir(parents=True)
    path.write_bytes(zstandard.ZstdCompressor(dict_data=dictionary).compress(text))
    with pytest.raises(ConfigError, match="put superchain/extra/dictionary beside it"):
        load(path)
    (tmp_path / "dictionary").write_bytes(dictionary.as_bytes())
    assert load(path).hash == load(document).hash


@pytest.mark.parametrize(
    ("fork", "present"),
    [("regolith", 1), ("canyon", 2), ("holocene", 5), ("isthmus", 6), ("karst", 6)],
)
def test_header_fields_follow_the_fork_at_genesis(fork: str, present: int):
    header = load(op_genesis(fork)).header
    optional = [header.base_fee_per_gas, header.withdrawals_root, header.blob_gas_used, header.excess_blob_gas]
    optional += [header.parent_beacon_block_root, header.requests_hash]
    assert optional == [10**9, EMPTY_ROOT, 0, 0, ZERO_HASH, EMPTY_REQUESTS_HASH][:present] + [None] * (6 - present)


def test_a_fork_that_comes_later_leaves_the_header_alone():
    document = op_genesis("regolith")
    later = op_genesis("regolith")
    later["config"] |= {"canyonTime": 101, "shanghaiTime": 101}
    assert load(later).hash == load(document).hash


def test_withdrawals_root_is_the_message_passers_storage_root_from_isthmus():
    alloc = {MESSAGE_PASSER: {"balance": "0x0", "storage": {"0x01": "0x02"}}}
    before, after = load(op_genesis("holocene", alloc=alloc)), load(op_genesis("isthmus", alloc=alloc))
    assert before.header.withdrawals_root == EMPTY_ROOT
    account = after.alloc[bytes.fromhex(MESSAGE_PASSER)]
    assert after.header.withdrawals_root not in (EMPTY_ROOT, None)
    # account leaf = [nonce, balance, storage root, code hash]: the same root must appear in the state
    assert after.header.state_root == state_root({bytes.fromhex(MESSAGE_PASSER): account})


def test_alloc_spellings_mean_the_same():
    long = {
        "0x" + "00" * 19 + "05": {
            "balance": "0x0a",
            "nonce": "0x1",
            "code": "0x6001",
            "storage": {"0x" + "00" * 31 + "01": "0x" + "00" * 31 + "ff"},
        }
    }
    short = {"0x5": {"balance": "10", "nonce": 1, "code": "6001", "storage": {"0x1": "0xff", "2": "0x0"}}}
    first, second = (load(op_genesis(alloc=alloc)) for alloc in (long, short))
    assert first.hash == second.hash
    assert first.alloc == {bytes(19) + b"\5": GenesisAccount(10, 1, b"\x60\x01", {1: 255})}


def test_balances_beyond_64_bits_as_json_numbers(tmp_path: Path):
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(op_genesis(alloc={"05": {"balance": 10**30}})))
    assert load(path).alloc[bytes(19) + b"\5"].balance == 10**30


def test_state_hash_stands_for_an_allocation():
    root = "0x" + "ab" * 32
    assert load(op_genesis(stateHash=root)).header.state_root == bytes.fromhex(root[2:])


@pytest.mark.parametrize(
    "document",
    [
        {},
        op_genesis() | {"config": None},
        op_genesis(alloc={"0x05": {"balance": "lots"}}),
        op_genesis(alloc={"0x05": {"balance": "-1"}}),
        op_genesis(alloc={"zz": {}}),
        op_genesis(alloc={"0x05": None}),
        op_genesis(alloc=[1]),
        op_genesis(timestamp="soon"),
        op_genesis(parentHash="0x12"),
        op_genesis(extraData="0x1"),
        op_genesis(nonce="0x" + "ff" * 9),
    ],
)
def test_nonsense_is_a_config_error(document):
    with pytest.raises(ConfigError):
        load(document)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x1f\x8bnonsense", b"\x28\xb5\x2f\xfdnonsense", b"\xff\xfe"])
def test_unreadable_files_are_config_errors(tmp_path: Path, content: bytes):
    path = tmp_path / "genesis.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError):
        load(path)
    with pytest.raises(ConfigError):
        load(tmp_path / "missing.json")
