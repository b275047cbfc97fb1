"""L1 fees against the receipts that op-geth recorded, and FastLZ against a plain port of its reference loop."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.loader import load
from l2engine.rules import forks
from l2engine.rules.fees import L1Fee, da_footprint, da_size, fast_lz_length, l1_fee, operator_fee
from l2engine.rules.l1_attributes import Format, L1Attributes, encode_calldata, format_of, from_calldata, from_storage
from l2engine.types.base import MAX_UINT64
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors


@needs_vectors
@pytest.mark.parametrize("path", sorted((VECTORS / "recordings").glob("*/genesis.json")), ids=lambda path: path.parent.name)
def test_recorded_receipts(path: Path):
    config, seen = load(path).config, 0
    for line in json_lines(path.with_name("blocks.jsonl.gz")):
        payload = line["newPayload"]["params"][0]
        raws = [bytes.fromhex(raw[2:]) for raw in payload["transactions"]]
        attributes = from_calldata(decode_transaction(raws[0]).data)
        fork = config.fork_at(int(payload["blockNumber"], 16), int(payload["timestamp"], 16))
        for raw, receipt in zip(raws, line["receipts"], strict=True):
            if "l1Fee" not in receipt:
                assert raw[0] == 0x7E and l1_fee(fork, raw, attributes) == L1Fee(0, 0)
                continue
            if attributes.base_fee_scalar is not None and not (attributes.base_fee_scalar or attributes.blob_base_fee_scalar):
                continue  # the receipt does not follow the state transition there (recordings-upgrades README)
            seen += 1
            assert l1_fee(fork, raw, attributes) == L1Fee(int(receipt["l1Fee"], 16), int(receipt["l1GasUsed"], 16))
            if "blobGasUsed" in receipt:
                assert da_footprint(raw, int(receipt["daFootprintGasScalar"], 16)) == int(receipt["blobGasUsed"], 16)
    assert seen > 100


def reference_fast_lz(data: bytes) -> int:
    """fjord/exec-engine's loop, step by step and slow."""
    length, table, anchor, position = 0, [0] * 8192, 0, 2
    limit = len(data) - 13 if len(data) >= 13 else 0

    def word(at: int) -> int:
        return data[at] | data[at + 1] << 8 | data[at + 2] << 16

    def slot(value: int) -> int:
        return (2654435769 * value) % 2**32 >> 19

    def literals(count: int) -> int:
        return 33 * (count // 32) + (count % 32 + 1 if count % 32 else 0)

    while position < limit:
        while True:
            value = word(position)
            reference = table[slot(value)]
            table[slot(value)] = position
            distance = position - reference
            if position >= limit:
                break
            position += 1
            if distance <= 8191 and value == word(reference):
                break
        if position >= limit:
            break
        position -= 1
        if position > anchor:
            length += literals(position - anchor)
        matched, bound = 0, limit + 9 - (position + 3)
        while matched < bound:
            if data[reference + 3 + matched] != data[position + 3 + matched]:
                bound = 0
            matched += 1
        length += 3 * ((matched - 1) // 262) + (3 if (matched - 1) % 262 >= 6 else 2)
        position += matched
        for _ in range(2):
            table[slot(word(position))] = position
            position += 1
        anchor = position
    return length + literals(len(data) - anchor)


_repetitive = st.lists(st.tuples(st.binary(min_size=1, max_size=12), st.integers(1, 60)), max_size=12).map(
    lambda parts: b"".join(part * times for part, times in parts)
)


@given(st.binary(max_size=300) | st.lists(st.integers(0, 3), max_size=400).map(bytes) | _repetitive)
@settings(max_examples=400, deadline=None)
def test_fast_lz_equals_the_reference(data: bytes):
    assert fast_lz_length(data) == reference_fast_lz(data)


def test_fast_lz_looks_back_8191_bytes():
    filler = bytes((i * 7919 >> 3) & 0xFF for i in range(8300))
    for gap in (8170, 8185, 8188, 8189, 8190, 8191, 8192, 8193):
        data = b"needle in a haystack" + filler[:gap] + b"needle in a haystack" + bytes(16)
        assert fast_lz_length(data) == reference_fast_lz(data), gap


def test_the_smallest_transaction_counts_100_bytes():
    assert da_size(b"") == da_size(b"\2" * 60) == 100
    assert da_footprint(b"\2" * 60, 400) == 40_000
    assert da_footprint(b"\2" * 60, 0) == 0  # a 0 is never replaced here; the rollup node does that


def test_da_size_is_rounded_down_before_it_is_multiplied():
    raw = next(
        raw for raw in (bytes(range(256)) * 2 + bytes(range(n)) for n in range(256)) if (836_500 * fast_lz_length(raw) - 42_585_600) % 10**6
    )
    exact = 836_500 * fast_lz_length(raw) - 42_585_600
    assert da_footprint(raw, 1000) == exact // 10**6 * 1000 != exact * 1000 // 10**6


def test_first_ecotone_block_falls_back_only_when_all_three_are_zero():
    """Section 0 of the digest: op-geth's test, with the blob base fee; op-revm looks at the scalars only."""
    old = {"base_fee": 1000, "overhead": 100, "scalar": 2_000_000}
    raw = b"\2" + bytes(9) + b"\1" * 30
    before = l1_fee(forks.REGOLITH, raw, L1Attributes(**old))
    assert before.fee > 0
    for fork in (forks.ECOTONE, forks.FJORD, forks.KARST):
        assert l1_fee(fork, raw, L1Attributes(**old, blob_base_fee=0, base_fee_scalar=0, blob_base_fee_scalar=0)) == before
        assert l1_fee(fork, raw, L1Attributes(**old, blob_base_fee=1, base_fee_scalar=0, blob_base_fee_scalar=0)).fee == 0


def test_deposits_and_ethereum_pay_nothing():
    deposit = encode_transaction(DepositTransaction(bytes(32), bytes(20), None, 0, 0, 0, False, bytes(100)))
    attributes = L1Attributes(base_fee=10**12, overhead=10, scalar=10**6, base_fee_scalar=1, blob_base_fee_scalar=1, blob_base_fee=1)
    for fork in forks.OP_FORKS:
        assert l1_fee(fork, deposit, attributes) == L1Fee(0, 0)
    for fork in forks.ETHEREUM_FORKS:
        assert l1_fee(fork, b"\2" * 100, attributes) == L1Fee(0, 0)


@pytest.mark.parametrize("fork", forks.OP_FORKS, ids=lambda fork: fork.name)
def test_operator_fee_rows(fork: forks.Fork):
    """Isthmus: per million; from Jovian on: times 100. Each amount is rounded down by itself."""
    attributes = L1Attributes(operator_fee_scalar=1_234_567, operator_fee_constant=MAX_UINT64)
    expected = {"isthmus": 999 * 1_234_567 // 10**6 + MAX_UINT64}
    expected |= dict.fromkeys(("jovian", "karst", "lagoon"), 999 * 1_234_567 * 100 + MAX_UINT64)
    assert operator_fee(fork, 999, attributes) == expected.get(fork.name, 0)
    assert operator_fee(fork, 999, L1Attributes()) == 0  # the activation block, before the values exist


attributes_strategy = st.builds(
    L1Attributes,
    base_fee=st.integers(0, 2**256 - 1),
    number=st.integers(0, MAX_UINT64),
    timestamp=st.integers(0, MAX_UINT64),
    hash=st.binary(min_size=32, max_size=32),
    sequence_number=st.integers(0, MAX_UINT64),
    batcher=st.binary(min_size=20, max_size=20),
    blob_base_fee=st.integers(0, 2**256 - 1),
    base_fee_scalar=st.integers(0, 2**32 - 1),
    blob_base_fee_scalar=st.integers(0, 2**32 - 1),
    operator_fee_scalar=st.integers(0, 2**32 - 1),
    operator_fee_constant=st.integers(0, MAX_UINT64),
    da_footprint_gas_scalar=st.integers(0, 2**16 - 1),
)


@given(attributes_strategy)
@settings(max_examples=100, deadline=None)
def test_calldata_round_trip_and_storage(attributes: L1Attributes):
    assert from_calldata(encode_calldata(Format.JOVIAN, attributes)) == attributes
    a = attributes
    slots = {  # the layout of L1Block (digest 3.2)
        0: a.timestamp << 64 | a.number,
        1: a.base_fee,
        2: int.from_bytes(a.hash, "big"),
        3: a.base_fee_scalar << 96 | a.blob_base_fee_scalar << 64 | a.sequence_number,
        4: int.from_bytes(a.batcher, "big"),
        7: a.blob_base_fee,
        8: a.da_footprint_gas_scalar << 96 | a.operator_fee_scalar << 64 | a.operator_fee_constant,
    }
    read = from_storage(lambda slot: slots.get(slot, 0))
    for name in L1Attributes.__dataclass_fields__:
        if name not in ("overhead", "scalar"):
            assert getattr(read, name) == getattr(attributes, name), name


def test_formats_of_the_forks():
    names = [format_of(fork).name for fork in forks.OP_FORKS]
    assert names == ["BEDROCK"] * 4 + ["ECOTONE"] * 4 + ["ISTHMUS"] + ["JOVIAN"] * 3
