"""Executing messages against the Lagoon facts: their hashes, and the keys that a transaction lists for them."""

from collections.abc import Sequence
from typing import Any

import pytest

from l2engine.errors import PoolError
from l2engine.rules.interop_messages import MessageIdentifier, access_list_keys, checksum, log_hash, payload_hash
from l2engine.settings import Settings
from l2engine.types.base import keccak
from l2engine.types.receipt import Log
from l2engine.types.transaction import FeeMarketTransaction
from l2engine.types.transaction_codec import signed
from rpc.ports.message_filters import MessageFilters
from tests.helpers.dev_chain import document, funded, open_engine
from tests.lagoon.chain import post_execution
from tests.lagoon.facts import Fact, facts, unhex


@facts("interop.json", "interop_message")
def test_hashes_and_keys_of_a_message(fact: Fact) -> None:
    given, expected = fact.input, fact.expected
    origin, payload = unhex(given["origin"]), keccak(unhex(given["payload"]))
    message = MessageIdentifier(origin, given["block_number"], given["timestamp"], given["log_index"], int(given["chain_id"]))
    assert payload == unhex(expected["payload_hash"])
    assert log_hash(origin, payload) == unhex(expected["log_hash"])
    assert checksum(message, payload) == unhex(expected["checksum"])
    assert access_list_keys(message, payload) == [unhex(key) for key in expected["storage_keys"]]


def test_a_payload_is_topics_then_data() -> None:
    topics = (b"\x01" * 32, b"\x02" * 32)
    assert payload_hash(Log(bytes(20), topics, b"\x03")) == keccak(b"\x01" * 32 + b"\x02" * 32 + b"\x03")


class Recorder:
    """A filter that finds every message valid and notes the questions."""

    failsafe = False

    def __init__(self) -> None:
        self.asked: list[tuple[Sequence[bytes], int]] = []

    def check(self, keys: Sequence[bytes], timestamp: int) -> None:
        self.asked.append((keys, timestamp))

    def look_at_failsafe(self) -> None: ...


@facts("interop.json", "interop_pool")
def test_a_transaction_that_executes_messages(fact: Fact) -> None:
    engine, alice = open_engine(document("lagoon" if fact.input["lagoon_active_at_head"] else "karst")), funded("alice")
    recorder, pool = Recorder(), engine.pool
    pool.message_filter = recorder if fact.input["filter_configured"] else None
    listed = tuple((unhex(entry["address"]), tuple(unhex(key) for key in entry["storageKeys"])) for entry in fact.input["access_list"])
    raw = signed(FeeMarketTransaction(alice.chain_id, 0, 10**6, 10**10, 10**5, bytes(20), 0, b"", listed), alice.key).raw
    expected = dict(fact.expected)
    if expected.pop("admission") == "refused":
        with pytest.raises(PoolError, match=f"^{expected['reason']}$"):
            pool.add(raw)
        assert pool.get(keccak(raw)) is None
        return
    assert pool.add(raw) == keccak(raw) and pool.get(keccak(raw)) == raw
    if "request" not in expected:
        assert recorder.asked == []
        return
    keys, safety, descriptor = expected["request"]["params"]
    assert recorder.asked == [([unhex(key) for key in keys], engine.head.timestamp)]
    questions: list[Any] = []
    default = Settings().rollup_interop_safety_level
    MessageFilters([lambda *call: questions.append(call)], alice.chain_id, default).check(*recorder.asked[0])
    head = {"chainID": hex(alice.chain_id), "timestamp": hex(engine.head.timestamp)}
    assert questions == [(expected["request"]["method"], [keys, safety, descriptor | head])]


def test_the_pool_takes_no_0x7d() -> None:
    with pytest.raises(PoolError, match="transaction type not supported: received type 125"):
        open_engine(document("lagoon")).pool.add(post_execution(1, (1, 5)))
