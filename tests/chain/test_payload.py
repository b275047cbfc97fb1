"""Payload ids as op-geth derives them, and payloads that contradict themselves."""

from dataclasses import replace
from typing import Any

import pytest

from l2engine.chain.payload import from_block, hash_requests, payload_id, to_block
from l2engine.errors import InvalidPayload
from l2engine.rules.config import ChainConfig
from l2engine.types.base import EMPTY_REQUESTS_HASH
from l2engine.types.block import Block, Withdrawal
from l2engine.types.payload import ExecutionPayload, PayloadAttributes
from tests.chain.test_pool import HEAD, config
from tests.helpers.accounts import signer

ATTRIBUTES = PayloadAttributes(1000, bytes(32), bytes(20), (), bytes(32), (b"\x7e\xc0",), True, 30_000_000, bytes(8), 0)
JOVIAN = config("jovian")
BLOCK = Block(replace(HEAD, requests_hash=EMPTY_REQUESTS_HASH, number=0), (), (), ())


def judged(rules: ChainConfig, payload: ExecutionPayload, *rest: Any) -> Block:
    """The payload's block, with the fork looked up as the engine does."""
    return to_block(rules, rules.fork_at(payload.block_number, payload.timestamp), payload, *rest)


def test_version_is_the_first_byte() -> None:
    assert [payload_id(bytes(32), ATTRIBUTES, version)[0] for version in (1, 2, 3)] == [1, 2, 3]
    assert len({payload_id(bytes(32), ATTRIBUTES, version)[1:] for version in (1, 2, 3)}) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"timestamp": 1001},
        {"prev_randao": b"\1" * 32},
        {"suggested_fee_recipient": b"\1" * 20},
        {"withdrawals": (Withdrawal(1, 2, bytes(20), 3),)},
        {"parent_beacon_block_root": b"\1" * 32},
        {"parent_beacon_block_root": None},
        {"transactions": (b"\x7e\xc1\x80",)},
        {"transactions": ()},
        {"no_tx_pool": False},
        {"gas_limit": 1},
        {"eip_1559_params": b"\1" * 8},
        {"eip_1559_params": None},
        {"min_base_fee": 1},
        {"min_base_fee": None},
    ],
)
def test_every_attribute_changes_the_id(change: dict[str, object]) -> None:
    assert payload_id(bytes(32), replace(ATTRIBUTES, **change), 3) != payload_id(bytes(32), ATTRIBUTES, 3)  # type: ignore[arg-type]


def test_missing_and_empty_lists_are_the_same() -> None:
    empty = replace(ATTRIBUTES, transactions=(), withdrawals=())
    assert payload_id(bytes(32), empty, 3) == payload_id(bytes(32), replace(empty, transactions=None, withdrawals=None), 3)


def test_block_survives_the_way_through_a_payload() -> None:
    assert judged(JOVIAN, from_block(JOVIAN, BLOCK), (), bytes(32), ()) == BLOCK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gas_used": 1}, f"blockhash mismatch, want {BLOCK.hash.hex()}, got "),
        ({"transactions": (b"\x7e",)}, "invalid transaction 0: "),
        ({"transactions": (b"",)}, "invalid transaction 0: typed transaction too short"),
        ({"extra_data": bytes(33)}, "invalid extradata length: 33"),
        ({"logs_bloom": bytes(255)}, "invalid logsBloom length: 255"),
        ({"withdrawals_root": None}, "nil withdrawalsRoot post-Isthmus"),
    ],
)
def test_contradictions_are_named(change: dict[str, object], message: str) -> None:
    payload = replace(from_block(JOVIAN, BLOCK), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidPayload, match=message):
        judged(JOVIAN, payload, (), bytes(32), ())


@pytest.mark.parametrize("field", ["blob_gas_used", "excess_blob_gas"])
def test_no_blob_gas_before_cancun(field: str) -> None:
    regolith = replace(HEAD, number=0, withdrawals_root=None, blob_gas_used=None, excess_blob_gas=None, parent_beacon_block_root=None)
    payload = from_block(config("regolith"), Block(replace(regolith, extra_data=b""), (), (), None))
    assert judged(config("regolith"), payload)
    with pytest.raises(InvalidPayload, match="blob gas pre-cancun"):
        judged(config("regolith"), replace(payload, **{field: 0}))


def test_versioned_hashes_must_match() -> None:
    with pytest.raises(InvalidPayload, match="invalid number of versionedHashes: 1 blobHashes: 0"):
        judged(JOVIAN, from_block(JOVIAN, BLOCK), (bytes(32),), bytes(32), ())


def test_transactions_stay_byte_for_byte() -> None:
    raw = signer("alice").sign()
    block = replace(BLOCK, transactions=(raw,))
    assert from_block(JOVIAN, block).transactions == (raw,)


def test_requests_without_content_do_not_count() -> None:
    """EIP-7685: only requests with data after the type byte are hashed."""
    assert hash_requests(()) == EMPTY_REQUESTS_HASH == hash_requests((b"\0", b"\1"))
    assert hash_requests((b"\0\1",)) != EMPTY_REQUESTS_HASH


def test_only_isthmus_payloads_carry_a_withdrawals_root() -> None:
    assert from_block(config("isthmus"), BLOCK).withdrawals_root == BLOCK.header.withdrawals_root
    assert from_block(config("holocene"), BLOCK).withdrawals_root is None
