"""A rollup node as far as an engine can see one: it sequences, derives, consolidates, reorganises and resets.

It speaks JSON-RPC through any `call(method, *params)` that gives the result or raises `EngineError`, so the engine may be in
this process or behind HTTP. L1 is imagined as in the dev chain; another `ImaginedL1` is another L1 branch.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.rules.config import ChainConfig
from l2engine.rules.forks import Fork, L1Rules
from l2engine.types.base import ZERO_HASH, keccak
from l2engine.types.header import Header, decode_header
from l2engine.types.payload import PayloadAttributes

Call = Callable[..., Any]
Batch = tuple[int, tuple[bytes, ...]]
"""One L2 block as L1 has it: its timestamp and its transactions without deposits."""


class EngineError(Exception):
    """The engine answered with a JSON-RPC error."""

    def __init__(self, error: dict[str, Any]) -> None:
        self.code: int = error["code"]
        super().__init__(f"{error['code']} {error['message']} {error.get('data', '')}")


class RollupNode:
    """Drives one engine. It learns where it stands from the engine's own labels, as after every start."""

    def __init__(self, call: Call, config: ChainConfig, l1: ImaginedL1 | None = None) -> None:
        self.call, self.config, self.l1 = call, config, l1 or ImaginedL1()
        self.reorged = 0
        """How often derivation has replaced an unsafe block."""
        self.restart(call)

    def restart(self, call: Call) -> None:
        """Read head, safe and finalized from the engine; the genesis stands in for labels that it does not have yet."""
        self.call = call
        self.unsafe = self.header("latest")
        self.safe, self.finalized = (self._labelled(label) for label in ("safe", "finalized"))

    def _labelled(self, label: str) -> Header:
        try:
            return self.header(self.call("eth_getBlockByNumber", label, False)["hash"])
        except EngineError as error:
            assert str(error) == f"-32000 {label} block not found ", error
            return self.header("0x0")

    def header(self, which: str) -> Header:
        """The header of a block by number, tag or hash."""
        header = decode_header(_bytes(self.call("debug_getRawHeader", which)))
        assert len(which) != 66 or "0x" + header.hash.hex() == which
        return header

    def batch(self, number: int) -> Batch:
        """The batch that a batcher would post for a canonical block."""
        block = self.call("eth_getBlockByNumber", hex(number), True)
        raws = [self.call("eth_getRawTransactionByHash", tx["hash"]) for tx in block["transactions"] if tx["type"] != "0x7e"]
        return int(block["timestamp"], 16), tuple(map(_bytes, raws))

    # ---- what a rollup node does ------------------------------------------------------------------------------------

    def sequence(self, seconds: int = 2) -> Header:
        """Make the next unsafe block, with transactions of the pool."""
        payload = self.build(self.unsafe, self.attributes(self.unsafe, self.unsafe.timestamp + seconds, no_tx_pool=False))
        return self.receive(payload)

    def receive(self, envelope: dict[str, Any]) -> Header:
        """Take a payload as the unsafe head: built here, or heard from the sequencer."""
        assert self.insert(envelope)["status"] == "VALID"
        self.unsafe = self.header(envelope["executionPayload"]["blockHash"])
        self.choose()
        return self.unsafe

    def derive(self, batch: Batch) -> Header:
        """Make the next safe block from L1: the unsafe one if it fits, else one from attributes; with deposits alone when the
        batch cannot be executed (Holocene)."""
        timestamp, raws = batch
        attributes = self.attributes(self.safe, timestamp, raws)
        following = self.call("eth_getBlockByNumber", hex(self.safe.number + 1), False)
        if following and self.unsafe.number > self.safe.number and self._fits(following["hash"], attributes):
            self.safe = self.header(following["hash"])
            self.choose()
            return self.safe
        self.reorged += self.unsafe.number > self.safe.number
        try:
            payload = self.build(self.safe, attributes)
        except EngineError as error:
            if error.code != -38003:
                raise
            payload = self.build(self.safe, self.attributes(self.safe, timestamp))
        assert self.insert(payload)["status"] == "VALID"
        self.unsafe = self.safe = self.header(payload["executionPayload"]["blockHash"])
        self.choose()
        return self.safe

    def finalize(self, number: int) -> None:
        """L1 has finalized this block's batch."""
        self.finalized = self.header(hex(number))
        self.choose()

    def reset(self, number: int) -> None:
        """L1 itself was reorganised: go back to a block that stands, and derive from there."""
        self.unsafe = self.safe = self.header(hex(number))
        self.choose()

    def _fits(self, block_hash: str, attributes: PayloadAttributes) -> bool:
        """Whether a block is what these attributes would give."""
        block = self.call("eth_getBlockByHash", block_hash, True)
        hashes = [tx["hash"] for tx in block["transactions"]]
        return int(block["timestamp"], 16) == attributes.timestamp and hashes == [_digest(raw) for raw in attributes.transactions or ()]

    # ---- the four calls ---------------------------------------------------------------------------------------------

    def attributes(self, parent: Header, timestamp: int, raws: tuple[bytes, ...] = (), no_tx_pool: bool = True) -> PayloadAttributes:
        """The attributes of a child of `parent`: the L1-attributes deposit, then `raws`."""
        attributes = dev_attributes(self.config, parent, timestamp, self.l1)
        return replace(attributes, transactions=(*(attributes.transactions or ()), *raws), no_tx_pool=no_tx_pool)

    def build(self, parent: Header, attributes: PayloadAttributes) -> dict[str, Any]:
        """Have a block built; getPayload's envelope. `EngineError` −38003 when it cannot be."""
        fork = self.config.fork_at(parent.number + 1, attributes.timestamp)
        version = 3 if fork.has(L1Rules.CANCUN) else 2 if fork.has(L1Rules.SHANGHAI) else 1
        state = self._state(parent)
        started = self.call(f"engine_forkchoiceUpdatedV{version}", state, attributes_json(attributes))
        assert started["payloadStatus"]["status"] == "VALID", started
        envelope = self.call(f"engine_getPayloadV{_get_payload_version(fork)}", started["payloadId"])
        assert isinstance(envelope, dict)
        return envelope

    def insert(self, envelope: dict[str, Any]) -> dict[str, Any]:
        """newPayload with an envelope; the engine's verdict."""
        payload = envelope["executionPayload"]
        fork = self.config.fork_at(int(payload["blockNumber"], 16), int(payload["timestamp"], 16))
        cancun, prague = fork.has(L1Rules.CANCUN), fork.has(L1Rules.PRAGUE)
        extras = ([[], envelope["parentBeaconBlockRoot"]] if cancun else []) + ([[]] if prague else [])
        status = self.call(f"engine_newPayloadV{4 if prague else 3 if cancun else 2}", payload, *extras)
        assert isinstance(status, dict)
        return status

    def choose(self) -> None:
        """Tell the engine where the node stands."""
        result = self.call("engine_forkchoiceUpdatedV3", self._state(self.unsafe), None)
        assert result["payloadStatus"] == {"status": "VALID", "latestValidHash": "0x" + self.unsafe.hash.hex(), "validationError": None}

    def _state(self, head: Header) -> dict[str, str]:
        hashes = (head.hash, self.safe.hash if head.number >= self.safe.number else ZERO_HASH, self.finalized.hash)
        return dict(zip(("headBlockHash", "safeBlockHash", "finalizedBlockHash"), ("0x" + item.hex() for item in hashes), strict=True))


def attributes_json(attributes: PayloadAttributes) -> dict[str, Any]:
    """Attributes as a rollup node sends them: fields that the fork lacks are left out."""
    a = attributes
    found: dict[str, Any] = {
        "timestamp": hex(a.timestamp),
        "prevRandao": "0x" + a.prev_randao.hex(),
        "suggestedFeeRecipient": "0x" + a.suggested_fee_recipient.hex(),
        "transactions": ["0x" + raw.hex() for raw in a.transactions or ()],
        "noTxPool": a.no_tx_pool,
    }
    optional = {
        "gasLimit": None if a.gas_limit is None else hex(a.gas_limit),
        "withdrawals": None if a.withdrawals is None else [],
        "parentBeaconBlockRoot": None if a.parent_beacon_block_root is None else "0x" + a.parent_beacon_block_root.hex(),
        "eip1559Params": None if a.eip_1559_params is None else "0x" + a.eip_1559_params.hex(),
        "minBaseFee": a.min_base_fee,
    }
    return found | {name: value for name, value in optional.items() if value is not None}


def _get_payload_version(fork: Fork) -> int:
    return next((version for version, since in ((5, L1Rules.OSAKA), (4, L1Rules.PRAGUE), (3, L1Rules.CANCUN)) if fork.has(since)), 2)


def _digest(raw: bytes) -> str:
    return "0x" + keccak(raw).hex()


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
