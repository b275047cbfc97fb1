"""How much of our own code one request runs: a payload is decoded once, its fork and its root are found once."""

from importlib.util import find_spec

import pytest

from rpc.jsonrpc import handle
from tests.helpers.dev_chain import Forge, document, funded
from tests.helpers.in_process import InProcess
from tests.helpers.journey import Journey, count
from tests.helpers.journey_requests import forkchoice, new_payload, request

needs_native = pytest.mark.skipif(find_spec("l2engine_native") is None, reason="the native core is not installed")


def payload_journey(evm: str) -> Journey:
    """newPayloadV4 of a block with one deposit and three transfers."""
    genesis = document("jovian")
    forge, alice = Forge(genesis), funded("alice")
    first = forge.chain(forge.genesis, 1)[0]
    block = forge.block(first.header, *(alice.sign(bytes([7]) * 20, value=1, nonce=nonce, max_fee=3 * 10**9, tip=1) for nonce in range(3)))
    node = InProcess(genesis, evm=evm)
    for call in (new_payload(node.engine.config, first), forkchoice(first)):
        assert b"VALID" in send(node, call)
    body = new_payload(node.engine.config, block)
    answers: list[bytes] = []
    journey = count(lambda: answers.append(send(node, body)))
    assert b'"status":"VALID"' in answers[0]
    return journey


def send(node: InProcess, body: bytes) -> bytes:
    return handle(body, node._methods, node.context) or b""


@needs_native
def test_a_payload_takes_few_calls() -> None:
    journey = payload_journey("native")
    assert journey.total <= 200, f"{journey.total} calls in {journey.files} files: {journey.calls.most_common(20)}"
    assert journey.files <= 30


@pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native)])
def test_a_payload_is_decoded_once(evm: str) -> None:
    journey = payload_journey(evm)
    assert (journey.of("fork_at"), journey.of("root"), journey.of("first_undecodable")) == (1, 1, 1)
    assert journey.calls["l2engine/types/transactions.py:native"] <= 1  # where the list crosses into Rust


def test_a_raw_transaction_is_decoded_once() -> None:
    node = InProcess(document("jovian"))
    raw = funded("alice").sign(bytes([7]) * 20, value=1, nonce=0, max_fee=3 * 10**9, tip=1)
    body = request("eth_sendRawTransaction", "0x" + raw.hex())
    answers: list[bytes] = []
    journey = count(lambda: answers.append(send(node, body)))
    assert b'"result"' in answers[0]
    assert (journey.of("decode_transaction"), journey.of("_account")) == (1, 1)
