"""Random damage to JSON files, genesis files above all: a value, a name or a byte is replaced by what people and programs really write there, and by worse."""

import copy
import json
from random import Random
from typing import Any

NASTY = [
    None, True, False, 0, 1, -1, 7, 1.5, 1e30, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**128, 2**255, 2**256 - 1, 2**256, 10**40,
    "", "0", "0x", "0X", "0x0", "0X0", "0x1", "0x00", "0x01", "7", "-1", "-0x1", "+1", " 1", "1_0", "1e3", "lots", "0xzz", "0x 12",
    "\u0663", "0x\u0663", "\ud800", "0x" + "00" * 20, "0x" + "11" * 20, "0x" + "22" * 21, "0x" + "ff" * 8, "0x" + "ff" * 9,
    "0x" + "00" * 32, "0x" + "ff" * 32, "0x" + "00" * 33, "0x01" + "00" * 32, "0x" + "60" * 30_000, "9" * 5000,
    [], {}, [1], {"a": 1}, {"0x1": "0x2"}, "true", float("inf"), float("nan"),
]  # fmt: skip
NAMES = [
    "number", "parentBeaconBlockRoot", "stateHash", "blobGasUsed", "excessBlobGas", "baseFeePerGas", "withdrawalsRoot",
    "requestsHash", "comment", "difficulty", "gasLimit", "GasLimit", "gaslimit", "extradata", "mixhash", "ALLOC", "Config",
    "config", "alloc", "balance", "Balance", "nonce", "code", "storage",
]  # fmt: skip
CONFIG_NAMES = [
    "chainId", "CHAINID", "optimism", "Optimism", "blobSchedule", "depositContractAddress", "terminalTotalDifficulty",
    "daoForkBlock", "eip155Block", "regolithTime", "canyonTime", "ecotoneTime", "fjordTime", "graniteTime", "holoceneTime",
    "isthmusTime", "jovianTime", "karstTime", "lagoonTime", "interopTime", "shanghaiTime", "cancunTime", "pragueTime",
    "osakaTime", "amsterdamTime", "FJORDTIME", "fjord_time", "bedrockBlock", "londonBlock", "ethash", "clique",
    "eip1559Elasticity", "eip1559Denominator", "eip1559DenominatorCanyon", "mergeNetsplitBlock", "bpo1Time",
]  # fmt: skip


def damaged(document: Any, random: Random) -> bytes:
    """The file of `document` with one to three mutations."""
    document = copy.deepcopy(document)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        _mutate(document, random)
    text = json.dumps(document, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return _with_a_wrong_byte(text, random) if random.random() < 0.15 else text


def _mutate(document: Any, random: Random) -> None:
    parent = random.choice(list(_objects(document)))
    keys = list(parent)
    key = random.choice(keys) if keys else "x"
    match random.randrange(6):
        case 0 | 1:
            parent[key] = random.choice(NASTY)
        case 2:
            parent.pop(key, None)
        case 3:  # another case or prefix; at the end or, half of the time, beside the old name
            value = parent.get(key) if random.random() < 0.5 else parent.pop(key, "0x1")
            parent[random.choice((key.upper(), key.lower(), key.title(), key.removeprefix("0x"), key.replace("0x", "0X")))] = value
        case 4:
            parent[random.choice(NAMES + CONFIG_NAMES)] = random.choice(NASTY)
        case 5:
            parent[str(random.choice(NASTY))[:90]] = random.choice(NASTY)


def _objects(value: Any) -> Any:
    """All objects inside, those near the root more often than the many accounts."""
    if isinstance(value, dict):
        yield value
        yield value
        for item in list(value.values()):
            yield from _objects(item)


def _with_a_wrong_byte(text: bytes, random: Random) -> bytes:
    at = random.randrange(len(text))
    return random.choice((text[:at], text[:at] + bytes([random.randrange(256)]) + text[at + 1 :], text[:at] + text[at + 1 :]))
