"""A payload written as JSON reads back as the same payload."""

from dataclasses import replace

import pytest

from l2engine.types.block import Withdrawal
from l2engine.types.payload import ExecutionPayload
from rpc.read.payloads import execution_payload
from rpc.show.payloads import show_payload

PAYLOAD = ExecutionPayload(
    *(bytes([n]) * size for n, size in enumerate((32, 20, 32, 32, 256, 32))), 1, 2, 3, 4, b"\x05", 6, bytes([7]) * 32, (b"\x7e\xc0",)
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"withdrawals": ()},
        {"withdrawals": (Withdrawal(1, 2, bytes(20), 3),), "blob_gas_used": 0, "excess_blob_gas": 0},
        {"withdrawals": (), "blob_gas_used": 1, "excess_blob_gas": 2, "withdrawals_root": bytes(32)},
    ],
    ids=["paris", "canyon", "cancun", "isthmus"],
)
def test_payloads_survive_json(fields):
    payload = replace(PAYLOAD, **fields)
    assert execution_payload(show_payload(payload)) == payload


def test_a_withdrawals_root_is_left_out_where_there_is_none():
    assert "withdrawalsRoot" not in show_payload(PAYLOAD)
