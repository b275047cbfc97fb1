"""The chain that `argument_cases` asks: contracts that show what they see, two blocks with logs in the first, and a third to submit."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.chain.payload import from_block
from l2engine.dev.l1 import ImaginedL1, dev_attributes
from l2engine.dev.sequencer import Sequencer
from l2engine.types.block import Block
from rpc.show.payloads import show_payload
from tests.helpers.in_process import InProcess

GENESIS_TIME = 1_700_000_000
SENDER, AUTHORITY, OTHER = ("0x" + account.address.hex() for account in DEV_ACCOUNTS[:3])
PROBE, LOGGER, CODE, SINK = ("0x" + number.to_bytes(20, "big").hex() for number in (0xC0DE1, 0xC0DE2, 0xC0DE3, 0xC0DE4))


def word(value: int) -> str:
    return f"{value:064x}"


def _probe() -> str:
    """Code that returns all that a call may set, and whose gas depends on it."""
    seen = ["33", "34", "3a", "5f49", "5f35", f"73{AUTHORITY[2:]}3f", "47", "600154", "43", "42", "45", "41", "44", "48", "4a"]
    code = "".join(f"{what}61{32 * place:04x}52" for place, what in enumerate(seen))
    code += f"60206101e05f5f73{SINK[2:]}5afa50"  # what the account SINK answers, behind them
    code += "5f6102005f2061ffff1653"  # as much memory as the hash of it all says
    return "0x" + code + "5a610200526102205ff3"  # the gas that is left


_LOGGER = "0x" + "60075f5260205f60205f60045afa50" + "5f5450" + "5f3560015f5fa200"  # memory, return data, storage, a log of two topics


def genesis() -> dict[str, Any]:
    document = dev_genesis("jovian", GENESIS_TIME)
    for who, code in ((PROBE, _probe()), (LOGGER, _LOGGER), (CODE, "0x00")):
        document["alloc"][who] = {"balance": "0x0", "code": code}
    return document


@dataclass(frozen=True)
class Recorded:
    """The blocks as the requests that bring them, and what cases need of them."""

    submissions: tuple[list[Any], ...]
    blocks: tuple[str, ...]
    """Hashes."""
    transaction: str
    """The first with a log."""
    attributes: dict[str, Any]
    payload: dict[str, Any]
    """Of the third block, which is not in the chain."""
    beacon_root: str

    withdrawal = {"index": "0x1", "validatorIndex": "0x1", "address": SENDER, "amount": "0x1"}  # noqa: RUF012

    @property
    def forkchoice(self) -> dict[str, Any]:
        return {"headBlockHash": self.blocks[1], "safeBlockHash": self.blocks[1], "finalizedBlockHash": self.blocks[1]}

    def new_payload(self, payload: dict[str, Any]) -> list[Any]:
        return [payload, [], self.beacon_root, []]

    @property
    def changed_payload(self) -> dict[str, Any]:
        """Another value for every field."""
        other: dict[str, Any] = {name: _other(value) for name, value in self.payload.items()}
        return {**other, "transactions": [], "withdrawals": [self.withdrawal]}


def _other(value: Any) -> Any:
    return value[:-1] + ("0" if value[-1] != "0" else "1") if isinstance(value, str) else value


def node() -> InProcess:
    """The chain with its two blocks."""
    found, chain = InProcess(genesis()), recorded()
    for params in chain.submissions:
        assert found.call("engine_newPayloadV4", *params)["status"] == "VALID"
    found.call(
        "engine_forkchoiceUpdatedV3", {**chain.forkchoice, "safeBlockHash": "0x" + word(0), "finalizedBlockHash": "0x" + word(0)}, None
    )
    found.context.keys = {account.address: account.private_key for account in DEV_ACCOUNTS}
    return found


@cache
def recorded() -> Recorded:
    maker = InProcess(genesis())
    maker.context.keys = {account.address: account.private_key for account in DEV_ACCOUNTS}
    sequencer = Sequencer(maker.engine, ThreadPoolExecutor(1))
    hashes = [maker.call("eth_sendTransaction", {"from": SENDER, "to": LOGGER, "data": "0x" + word(topic)}) for topic in (5, 6)]
    blocks = [sequencer.make_block(GENESIS_TIME + 2), sequencer.make_block(GENESIS_TIME + 4)]
    head = maker.engine.head
    wanted = dev_attributes(maker.engine.config, head, GENESIS_TIME + 6, ImaginedL1())
    third = sequencer.make_block(GENESIS_TIME + 6)
    return Recorded(
        submissions=tuple([_payload(maker, block), [], _beacon_root(block), []] for block in blocks),
        blocks=tuple("0x" + block.hash.hex() for block in blocks),
        transaction=hashes[0],
        attributes={
            "timestamp": hex(wanted.timestamp),
            "prevRandao": "0x" + wanted.prev_randao.hex(),
            "suggestedFeeRecipient": "0x" + wanted.suggested_fee_recipient.hex(),
            "withdrawals": [],
            "parentBeaconBlockRoot": "0x" + (wanted.parent_beacon_block_root or b"").hex(),
            "transactions": ["0x" + raw.hex() for raw in wanted.transactions or ()],
            "noTxPool": True,
            "gasLimit": hex(wanted.gas_limit or 0),
            "eip1559Params": "0x" + (wanted.eip_1559_params or b"").hex(),
            "minBaseFee": wanted.min_base_fee,
        },
        payload=_payload(maker, third),
        beacon_root=_beacon_root(third),
    )


def _payload(maker: InProcess, block: Block) -> dict[str, Any]:
    return {name: value for name, value in show_payload(from_block(maker.genesis.config, block)).items() if value is not None}


def _beacon_root(block: Block) -> str:
    return "0x" + (block.header.parent_beacon_block_root or b"").hex()
