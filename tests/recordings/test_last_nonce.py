"""Deposits of accounts whose nonce is 2^64 - 1, the last one: the block that op-geth v1.101702.3 built of them.

A creation fails, keeps its gas and the nonce (EIP-2681); any other deposit counts on from 0.
"""

import json
from typing import Any

import pytest

from l2engine.types.base import MAX_UINT64
from l2engine.types.block import decode_block
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import encode_transaction
from tests.conformance.families import needs_native
from tests.helpers.in_process import InProcess
from tests.helpers.vectors import CASES, needs_cases

OP_GETHS_BLOCK = "0x3a4d1c72bbf25c68b2bff69c3697ed9d613186989490b9266ba5a498ae3709ef"
X, Y, Z, CREATOR = (bytes([number]) * 20 for number in (0xA1, 0xA2, 0xA3, 0xA4))
RETURN_42 = bytes.fromhex("602a5f5260205ff3")
NO_HASH = "0x" + "00" * 32


@needs_cases
@pytest.mark.parametrize("evm", [pytest.param("native", marks=needs_native), "py", pytest.param("both", marks=needs_native)])
def test_deposits_at_the_last_nonce(evm: str) -> None:
    chain = json.loads((CASES / "beside-op-geth" / "chain.json").read_text())
    genesis: dict[str, Any] = chain["genesis"]
    last = {"nonce": hex(MAX_UINT64)}
    genesis["alloc"] |= {"0x" + who.hex(): {"balance": "0x1000", **last} for who in (X, Y, Z)}
    genesis["alloc"]["0x" + CREATOR.hex()] = {"balance": "0x0", "code": "0x5f5f5ff05f5260205ff3", **last}  # returns what it creates
    node = InProcess(genesis, evm=evm)
    first = "0x" + decode_block(bytes.fromhex(chain["blocks"][0][2:])).transactions[0].hex()
    deposits = (
        deposit(1, X, None, RETURN_42, 100_000),  # 53,130 gas are gone, no more
        deposit(2, Y, CREATOR, b"", 200_000),  # a call: its sender is at 0 again
        deposit(3, Z, None, b"\0", 30_000),  # too little gas: at 0 again
        deposit(4, X, None, RETURN_42, 100_000, value=5),
        deposit(5, Y, None, RETURN_42, 100_000),
        deposit(6, Z, None, RETURN_42, 200_000),
    )
    attributes = {
        "timestamp": hex(int(genesis["timestamp"], 16) + 2),
        "prevRandao": "0x" + "22" * 32,
        "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011",
        "withdrawals": [],
        "parentBeaconBlockRoot": "0x" + "33" * 32,
        "transactions": [first, *deposits],
        "noTxPool": True,
        "gasLimit": "0x1c9c380",
        "eip1559Params": "0x000000fa00000006",
        "minBaseFee": 0,
    }
    state = {"headBlockHash": "0x" + node.genesis.hash.hex(), "safeBlockHash": NO_HASH, "finalizedBlockHash": NO_HASH}
    built = node.call("engine_getPayloadV4", node.call("engine_forkchoiceUpdatedV3", state, attributes)["payloadId"])["executionPayload"]
    assert built["blockHash"] == OP_GETHS_BLOCK
    assert node.call("engine_newPayloadV4", built, [], attributes["parentBeaconBlockRoot"], [])["status"] == "VALID"


def deposit(number: int, sender: bytes, to: bytes | None, data: bytes, gas: int, value: int = 0) -> str:
    tx = DepositTransaction(bytes([number]) * 32, sender, to, 0, value, gas, False, data)
    return "0x" + encode_transaction(tx).hex()
