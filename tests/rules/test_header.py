"""Header rules: real and recorded chains pass block by block, each changed field is refused with its reason.

What no public vector covers (Karst, blobGasUsed between Ecotone and Isthmus, odd activation times) is derived from the
specification and named so.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp

from genesis.loader import load
from l2engine.errors import InvalidBlock
from l2engine.rules import forks
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.forks import OP_FORKS, Fork
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_REQUESTS_HASH, EMPTY_ROOT
from l2engine.types.header import Header, decode_header
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors
from tests.rules.headers import base_fee, validate_header

OP_SECTION = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}
EXTRA_DATA = {"holocene": "00000000fa00000006", "jovian": "01000000fa000000060000000000000000"}


def op_config(fork: Fork) -> ChainConfig:
    active = OP_FORKS[1 : OP_FORKS.index(fork) + 1]
    return chain_config({"chainId": 901, "bedrockBlock": 0, "optimism": OP_SECTION} | {row.name + "Time": 0 for row in active})


def op_header(fork: Fork, **changes: Any) -> Header:
    """Block 5 at time 110 as the fork wants it: empty, at the target of the base fee."""
    rules = forks.L1Rules
    header = Header(
        bytes(32), EMPTY_OMMERS_HASH, bytes(20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256),
        0, 5, 30_000_000, 5_000_000, 110, bytes.fromhex(EXTRA_DATA.get(fork.extra_data.value, "")), bytes(32), bytes(8), 1000,
    )  # fmt: skip
    if fork.has(rules.SHANGHAI):
        header = replace(header, withdrawals_root=EMPTY_ROOT)
    if fork.has(rules.CANCUN):
        header = replace(header, blob_gas_used=0, excess_blob_gas=0, parent_beacon_block_root=bytes(32))
    if fork.has(rules.PRAGUE):
        header = replace(header, requests_hash=EMPTY_REQUESTS_HASH, withdrawals_root=b"\x16" * 32)
    return replace(header, **changes)


def check(fork: Fork, **changes: Any) -> None:
    """Validate a child of `op_header(fork)` with these fields changed."""
    validate_header(op_config(fork), op_header(fork, **{"number": 6, "timestamp": 112} | changes), op_header(fork))


@needs_vectors
@pytest.mark.parametrize("path", sorted(VECTORS.glob("recordings*/*/genesis.json")), ids=lambda path: "/".join(path.parts[-3:-1]))
def test_recorded_chains(path: Path):
    genesis = load(path)
    parent, count = genesis.header, 0
    for line in json_lines(path.with_name("blocks.jsonl.gz")):
        header = decode_header(bytes.fromhex(line["rawHeader"][2:]))
        assert header.parent_hash == parent.hash
        validate_header(genesis.config, header, parent)
        parent, count = header, count + 1
    assert count >= 25


@needs_vectors
@pytest.mark.parametrize("folder", ["execution-apis", "devp2p-suite/v1.15.11", "devp2p-suite/v1.17.5"])
def test_ethereum_from_frontier_to_bpo2(folder: str):
    genesis = load(VECTORS / folder / "genesis.json")
    data, position, parent = (VECTORS / folder / "chain.rlp").read_bytes(), 0, genesis.header
    while position < len(data):
        _, _, length, start = rlp.codec.consume_length_prefix(data, position)
        end = start + length
        header = decode_header(rlp.encode(rlp.decode(data[position:end])[0]))
        validate_header(genesis.config, header, parent)
        parent, position = header, end
    assert parent.number >= 45


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_a_plain_child_is_valid_in_every_fork(fork: Fork):
    check(fork)


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_a_dev_chain_may_keep_its_parents_timestamp_and_not_go_back(fork: Fork):
    parent = op_header(fork)
    config = replace(op_config(fork), equal_timestamps=True)
    validate_header(config, op_header(fork, number=6, timestamp=110), parent)
    with pytest.raises(InvalidBlock, match="invalid timestamp, parent 110 given 109"):
        validate_header(config, op_header(fork, number=6, timestamp=109), parent)


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
@pytest.mark.parametrize(
    "changes",
    [
        {"number": 7},
        {"timestamp": 110},
        {"timestamp": 109},
        {"gas_limit": 2**63},
        {"gas_used": 30_000_001},
        {"base_fee_per_gas": 999},
        {"base_fee_per_gas": None},
        {"difficulty": 1},
        {"nonce": b"\1" * 8},
        {"ommers_hash": bytes(32)},
        {"extra_data": b"BEDROCK"},
        {"extra_data": bytes(9)},
        {"extra_data": bytes(33)},
    ],
    ids=lambda changes: "-".join(f"{name}={value}"[:30] for name, value in changes.items()),
)
def test_wrong_in_every_fork(fork: Fork, changes: dict[str, Any]):
    with pytest.raises(InvalidBlock):
        check(fork, **changes)


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_optional_fields_come_and_go_with_their_forks(fork: Fork):
    header = op_header(fork)
    names = ("withdrawals_root", "blob_gas_used", "excess_blob_gas", "parent_beacon_block_root", "requests_hash")
    for name in names:
        value = 0 if "gas" in name else bytes(32)
        with pytest.raises(InvalidBlock):
            check(fork, **{name: value if getattr(header, name) is None else None})


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_gas_limit_may_jump(fork: Fork):
    for gas_limit in (2**63 - 1, 21_000, 5_000_000):
        check(fork, gas_limit=gas_limit, gas_used=0)


def test_withdrawals_root_is_fixed_until_isthmus():
    with pytest.raises(InvalidBlock, match="withdrawalsRoot"):
        check(forks.CANYON, withdrawals_root=bytes(32))
    check(forks.ISTHMUS, withdrawals_root=bytes(32))


def test_requests_hash_is_that_of_no_requests():
    with pytest.raises(InvalidBlock, match="requestsHash"):
        check(forks.ISTHMUS, requests_hash=bytes(32))


@pytest.mark.parametrize("fork", [forks.ECOTONE, forks.FJORD, forks.GRANITE, forks.HOLOCENE, forks.ISTHMUS], ids=lambda fork: fork.name)
def test_blob_gas_used_is_0_until_jovian(fork: Fork):
    """Specification; op-geth does not check."""
    with pytest.raises(InvalidBlock, match="blobGasUsed"):
        check(fork, blob_gas_used=131_072)


@pytest.mark.parametrize("fork", [forks.JOVIAN, forks.KARST], ids=lambda fork: fork.name)
def test_da_footprint_is_any_number_up_to_the_gas_limit(fork: Fork):
    check(fork, blob_gas_used=12_345)
    check(fork, blob_gas_used=30_000_000)
    with pytest.raises(InvalidBlock, match="DA footprint"):
        check(fork, blob_gas_used=30_000_001)
    with pytest.raises(InvalidBlock, match="excessBlobGas"):
        check(fork, excess_blob_gas=1)


@pytest.mark.parametrize(
    ("fork", "extra", "text"),
    [
        (forks.HOLOCENE, "", "Holocene extraData should be 9 bytes, got 0"),
        (forks.HOLOCENE, "01000000fa00000006", "version"),
        (forks.HOLOCENE, "000000000000000006", "non-zero"),
        (forks.HOLOCENE, "00000000fa00000000", "non-zero"),
        (forks.JOVIAN, "", "Jovian extraData should be 17 bytes, got 0"),
        (forks.JOVIAN, "00000000fa00000006", "Jovian extraData should be 17 bytes, got 9"),
        (forks.JOVIAN, "00000000fa000000060000000000000000", "version"),
        (forks.KARST, "0100000000000000060000000000000000", "non-zero"),
    ],
)
def test_extra_data_forms(fork: Fork, extra: str, text: str):
    with pytest.raises(InvalidBlock, match=text):
        check(fork, extra_data=bytes.fromhex(extra))


def test_op_mainnets_bedrock_block_may_say_so():
    """Section 0 of the digest: the one block before Holocene whose extraData is not empty."""
    for chain_id, number, fine in ((10, 105_235_063, True), (10, 105_235_064, False), (901, 105_235_063, False)):
        config = chain_config({"chainId": chain_id, "bedrockBlock": 0, "optimism": OP_SECTION})
        parent = op_header(forks.BEDROCK, number=number - 1)
        child = op_header(forks.BEDROCK, number=number, timestamp=112, extra_data=b"BEDROCK")
        if fine:
            validate_header(config, child, parent)
        else:
            with pytest.raises(InvalidBlock):
                validate_header(config, child, parent)


# ---- base fee across activations (digest 1.5; no public vector) -----------------------------------------------------


def crossing(**times: int) -> ChainConfig:
    earlier = {"regolithTime": 0} | {fork + "Time": time for fork, time in times.items()}
    return chain_config({"chainId": 901, "bedrockBlock": 0, "optimism": OP_SECTION} | earlier)


def test_canyons_denominator_goes_by_the_new_blocks_time():
    parent = op_header(forks.REGOLITH, gas_used=10_000_000, base_fee_per_gas=1_000_000)  # twice the target
    config = crossing(canyon=111)
    assert base_fee(config, parent, 6, 110) == 1_000_000 + 1_000_000 // 50
    assert base_fee(config, parent, 6, 112) == 1_000_000 + 1_000_000 // 250


def test_holocenes_parameters_go_by_the_parents_time():
    first = crossing(canyon=0, ecotone=0, fjord=0, granite=0, holocene=111)
    before = op_header(forks.GRANITE, gas_used=10_000_000, base_fee_per_gas=1_000_000)
    assert base_fee(first, before, 6, 112) == 1_004_000  # the activation block still has the constants
    after = op_header(forks.HOLOCENE, timestamp=112, gas_used=10_000_000, base_fee_per_gas=1_000_000)
    changed = replace(after, extra_data=bytes.fromhex("000000000a00000006"))
    assert base_fee(first, changed, 7, 114) == 1_100_000


def test_jovians_activation_block_reads_the_parents_9_bytes_and_has_no_floor():
    times = dict.fromkeys(("canyon", "ecotone", "fjord", "granite", "holocene", "isthmus"), 0)
    config = crossing(**times, jovian=111)
    parent = op_header(forks.ISTHMUS, base_fee_per_gas=10)
    assert base_fee(config, parent, 6, 112) == 10
    floor = bytes.fromhex("01000000fa00000006") + (77).to_bytes(8, "big")
    assert base_fee(config, op_header(forks.JOVIAN, timestamp=112, base_fee_per_gas=10, extra_data=floor), 7, 114) == 77


def test_jovian_takes_the_larger_of_gas_and_footprint():
    parent = op_header(forks.JOVIAN, gas_used=1, blob_gas_used=10_000_000, base_fee_per_gas=1_000_000)
    assert base_fee(op_config(forks.JOVIAN), parent, 6, 112) == 1_004_000
    assert base_fee(op_config(forks.KARST), parent, 6, 112) == 1_004_000


def test_base_fee_never_falls_below_zero_and_survives_a_tiny_gas_limit():
    parent = op_header(forks.BEDROCK, gas_used=0, base_fee_per_gas=0)
    assert base_fee(op_config(forks.BEDROCK), parent, 6, 112) == 0
    tiny = op_header(forks.BEDROCK, gas_limit=3, gas_used=3, base_fee_per_gas=100)  # the target is 0
    assert base_fee(op_config(forks.BEDROCK), tiny, 6, 112) > 100
