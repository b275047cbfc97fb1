"""Block numbers, tags, hashes and EIP-1898 objects."""

import pytest

from l2engine.errors import InvalidParams
from rpc.read.blocks import CanonicalHash, block_reference, block_tag

ADDRESS = "0x35c43b54d2a2ad4b6ec5549cc93cb96ce77ada35"
HASH = "0x" + "ab" * 32


@pytest.mark.parametrize(
    ("parser", "value", "message"),
    [
        (block_tag, "0x01", "hex number with leading zero digits"),
        (block_tag, "newest", "hex string without 0x prefix"),
        (block_tag, 1, "hex string without 0x prefix"),
        (block_tag, None, "hex string without 0x prefix"),
        (block_tag, "0xfffffffffffffffff", "hex number > 64 bits"),
        (block_tag, "0xffffffffffffffff", "block number larger than int64"),
        (block_tag, "0xzz", "invalid hex string"),
        (block_reference, {"blockHash": HASH, "blockNumber": "0x1"}, "cannot specify both BlockHash and BlockNumber, choose one or the other"),
        (block_reference, 5, "json: cannot unmarshal number into Go value of type string"),
        (block_reference, {"blockNumber": 5}, "json: cannot unmarshal object into Go value of type string"),
    ],
)  # fmt: skip
def test_refusals(parser, value, message):
    with pytest.raises(InvalidParams) as caught:
        parser(value)
    assert str(caught.value) == message


def test_block_references():
    assert block_reference("latest") == "latest"
    assert block_reference("0x10") == 16
    assert block_reference(HASH) == bytes.fromhex(HASH[2:])
    assert isinstance(block_reference({"blockHash": HASH, "requireCanonical": True}), CanonicalHash)
    assert block_reference({}) is None
