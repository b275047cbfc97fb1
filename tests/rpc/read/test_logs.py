"""The filter objects of eth_getLogs."""

import pytest

from l2engine.errors import InvalidParams
from rpc.read.logs import LogQuery, log_query

ADDRESS = "0x35c43b54d2a2ad4b6ec5549cc93cb96ce77ada35"
HASH = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("parser", "value", "message"),
    [
        (log_query, {"topics": [None] * 5}, "exceed max topics"),
        (log_query, {"topics": ["0x12"]}, "hex has invalid length 1 after decoding; expected 32 for topic"),
        (log_query, {"address": "0x12"}, "invalid address: hex has invalid length 1 after decoding; expected 20 for address"),
        (log_query, {"address": [ADDRESS, 1]}, "non-string address at index 1"),
        (log_query, {"blockHash": HASH, "fromBlock": "0x1"}, "cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other"),
    ],
)  # fmt: skip
def test_refusals(parser, value, message):
    with pytest.raises(InvalidParams) as caught:
        parser(value)
    assert str(caught.value) == message


def test_log_filters():
    wanted = log_query({"fromBlock": "0x1", "toBlock": "latest", "address": ADDRESS, "topics": [None, [HASH, HASH], [None, HASH]]})
    assert wanted.from_block == 1
    assert wanted.to_block == "latest"
    assert wanted.filter.addresses == {bytes.fromhex(ADDRESS[2:])}
    assert wanted.filter.topics == (frozenset(), {bytes.fromhex(HASH[2:])}, frozenset())


def test_the_case_of_names_does_not_matter():
    assert log_query({"FROMBLOCK": "0x1", "toblock": "0x2", "Topics": []}) == LogQuery(from_block=1, to_block=2)
