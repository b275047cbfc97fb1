"""Genesis files of users' reports and their neighbours: the hash that op-geth computes, or a refusal that names the field."""

import copy
import json
from typing import Any

import pytest

from genesis.loader import check_first_block, load
from l2engine.errors import ConfigError
from tests.helpers.vectors import CASES, needs_cases

REPORTS = CASES / "reports"
PLAIN = "33965f0db8cf7bdd7004f52bf11a1dad83b66d723859320843f81c2619281bdb"
ACCOUNT = "0x00000000000000000000000000000000000a0001"

pytestmark = needs_cases


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((REPORTS / "genesis-plain.json").read_text())
    return found


@pytest.mark.parametrize("name", ["plain", "names-in-other-case", "storage-empty-value", "0X-prefix", "parent-beacon-root"])
def test_files_that_mean_the_same(name: str) -> None:
    assert load(REPORTS / f"genesis-{name}.json").hash.hex() == PLAIN


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("storage-33-bytes", f"account {ACCOUNT}: storage slot 0x01 is longer than 32 bytes: 0xffff"),
        ("balance-2-256", f"account {ACCOUNT}: balance does not fit in 256 bits: 0x1000"),
        ("address-21-bytes", "account 0x00000000000000000000000000000000000a000100: the address is longer than 20 bytes"),
        ("fork-gap-fjord", "config.fjordTime is missing, but config.graniteTime is set"),
        ("number-100", "number is 100, but a chain begins with block 0"),
    ],
)
def test_files_that_are_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(REPORTS / f"genesis-{name}.json")
    assert str(caught.value).startswith(f"invalid genesis: {said}")


def varied(plain: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The plain file with the value at a path replaced, or taken out when it is `...`."""
    document = copy.deepcopy(plain)
    *parents, name = path.split("/")
    place = document
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return document


SAME = [  # op-geth 1.101702.3 computes the plain hash of these, too
    ("GASLIMIT", "0x1c9c380"),
    ("gasLimit", 30_000_000),
    ("gasLimit", "30000000"),
    ("gasLimit", "0X1C9C380"),
    ("number", ...),
    ("number", ""),
    ("mixHash", None),
    ("difficulty", "0"),
    ("config/optimism", {"EIP1559ELASTICITY": 6, "eip1559denominator": 50, "eip1559DenominatorCanyon": 250}),
    ("config/terminalTotalDifficulty", ...),
    ("config/bedrockBlock", ...),
    ("config/jovianTime", 2**64 - 1),
    ("config/osakaTime", None),
    ("withdrawalsRoot", "0x" + "22" * 32),
    (f"alloc/{ACCOUNT}/secretKey", "0x01"),
    (f"alloc/{ACCOUNT}/storage", {"01": "2a", "0x02": None, "0x03": ""}),
    (f"alloc/{ACCOUNT}/code", "0X60006000"),
]


@pytest.mark.parametrize(("path", "value"), SAME, ids=str)
def test_other_spellings(plain: dict[str, Any], path: str, value: Any) -> None:
    assert load(varied(plain, path, value)).hash.hex() == PLAIN


WRONG = [
    ("gasLimit", 2**64, "gasLimit does not fit in 64 bits: 18446744073709551616"),
    ("gasLimit", True, "gasLimit is not a number: True"),
    ("gasLimit", 1.5, "gasLimit is not a number: 1.5"),
    ("gasLimit", " 5", "gasLimit is not a number: ' 5'"),
    ("gasLimit", "1_0", "gasLimit is not a number: '1_0'"),
    ("gasLimit", "\u0663", "gasLimit is not a number: '\u0663'"),
    ("gasLimit", [1], "gasLimit is not a number: [1]"),
    ("gasUsed", "0xffffffff", "gasUsed is 4294967295, above gasLimit 30000000"),
    ("nonce", "0x1ffffffffffffffff", "nonce does not fit in 64 bits"),
    ("timestamp", 2**63, "timestamp does not fit in 63 bits"),
    ("difficulty", 2**256, "difficulty does not fit in 256 bits"),
    ("baseFeePerGas", 2**64, "baseFeePerGas does not fit in 64 bits"),
    ("coinbase", "0x", "coinbase has 0 bytes instead of 20"),
    ("coinbase", 5, "coinbase is not hexadecimal: 5"),
    ("mixHash", "", "mixHash has 0 bytes instead of 32"),
    ("parentHash", "0x12", "parentHash has 1 bytes instead of 32: 0x12"),
    ("extraData", "0x 1", "extraData is not hexadecimal: '0x 1'"),
    ("stateHash", "0x" + "11" * 32, "stateHash is 0x" + "11" * 32 + ", but the state root of alloc is 0x"),
    ("alloc", [], "alloc is not an object: []"),
    (f"alloc/{ACCOUNT}", None, f"account {ACCOUNT} is not an object: None"),
    (f"alloc/{ACCOUNT}/nonce", 2**64, f"account {ACCOUNT}: nonce does not fit in 64 bits"),
    (f"alloc/{ACCOUNT}/code", "0x600", f"account {ACCOUNT}: code is not hexadecimal: '0x600'"),
    (f"alloc/{ACCOUNT}/storage", [], f"account {ACCOUNT}: storage is not an object: []"),
    (f"alloc/{ACCOUNT}/storage", {"0x01": 5}, f"account {ACCOUNT}: storage slot 0x01 is not hexadecimal: 5"),
    (f"alloc/{ACCOUNT}/storage", {"0x01" + "00" * 32: "0x01"}, f"account {ACCOUNT}: storage slot 0x01"),
    ("alloc/zz", {}, "account zz: the address is not hexadecimal"),
    ("alloc/", {}, "account : the address is not hexadecimal"),
    ("config", [], "config is not an object: []"),
    ("config/chainId", ..., "config.chainId is missing"),
    ("config/chainId", 2**64, "config.chainId does not fit in 64 bits"),
    ("config/jovianTime", "soon", "config.jovianTime is not a number: 'soon'"),
    ("config/jovianTime", 2**64, "config.jovianTime does not fit in 64 bits"),
    ("config/regolithTime", ..., "config.regolithTime is missing, but config.canyonTime is set"),
    ("config/amsterdamtime", "soon", "amsterdamtime looks like a fork that this build does not know"),
    ("config/optimism", {}, "config.optimism.eip1559Elasticity is missing or zero"),
    ("config/optimism", True, "config.optimism is not an object: True"),
    ("config/optimism", {"eip1559Elasticity": 6}, "config.optimism.eip1559Denominator is missing or zero"),
    ("config/optimism/eip1559DenominatorCanyon", 0, "config.optimism.eip1559DenominatorCanyon is missing or zero"),
    ("config/optimism/eip1559Elasticity", 2**32, "config.optimism.eip1559Elasticity does not fit in 32 bits"),
    ("config/terminalTotalDifficultyPassed", "yes", "config.terminalTotalDifficultyPassed is neither true nor false: 'yes'"),
    ("config/depositContractAddress", "0x12", "config.depositContractAddress has 1 bytes instead of 20: 0x12"),
    ("config/blobSchedule", 5, "config.blobSchedule is not an object: 5"),
    ("config/blobSchedule", {"cancun": {"target": 3}}, "config.blobSchedule.cancun.max is missing"),
]


@pytest.mark.parametrize(("path", "value", "said"), WRONG, ids=lambda part: f"{part!s:.40}")
def test_neighbours_that_are_refused(plain: dict[str, Any], path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(varied(plain, path, value))
    assert str(caught.value).removeprefix("invalid genesis: ").startswith(said)


def test_an_ethereum_chain_with_a_gap_is_refused(plain: dict[str, Any]) -> None:
    document = varied(plain, "config/optimism", ...)
    assert load(document).config.is_optimism is False
    with pytest.raises(ConfigError, match=r"config\.berlinBlock is missing, but config.londonBlock is set"):
        load(varied(document, "config/berlinBlock", ...))


@pytest.mark.parametrize("extra_data", ["0x", "0x01", "0x00000000fa000000060000000000000000"])
def test_extra_data_on_which_no_block_can_follow(plain: dict[str, Any], extra_data: str) -> None:
    genesis = load(varied(plain, "extraData", extra_data))
    with pytest.raises(ConfigError, match="invalid genesis: extraData: Jovian extraData "):
        check_first_block(genesis)


def test_the_last_of_several_spellings_counts(plain: dict[str, Any]) -> None:
    """As in Go."""
    assert load(plain | {"gaslimit": "0x5"}).header.gas_limit == 5
    assert load(plain | {"gaslimit": None, "GASLIMIT": "0x1c9c380"}).hash.hex() == PLAIN
    twice = {ACCOUNT: {"balance": "0x1"}, ACCOUNT[2:].upper(): {"balance": "0x2"}}
    assert load(varied(plain, "alloc", twice)).alloc[bytes.fromhex(ACCOUNT[2:])].balance == 2


def test_the_configuration_is_kept_with_geths_names(plain: dict[str, Any]) -> None:
    lower = {name.lower(): value for name, value in plain["config"].items()}
    assert load(plain | {"config": lower}).geth_config == plain["config"]
