"""The fork table row by row, and which fork a configuration puts in force when.

The expected rows are written down from the specification (each fork's overview and exec-engine pages, execution digest
1.2, 1.3, 1.6, 2.5, 3.3, 3.4), not read from the table. No public vector covers Karst: its row is the specification's.
"""

import dataclasses
from itertools import pairwise
from pathlib import Path

import pytest

from l2engine.errors import ConfigError
from l2engine.rules import forks
from l2engine.rules.config import chain_config
from l2engine.rules.forks import ETHEREUM_FORKS, OP_FORKS, BlobSchedule, ExtraDataForm, Fork, L1FeeRule, L1Rules, OperatorFeeRule
from tools.forks_page import markdown

ROWS = {
    # name: (Ethereum rules, L1 fee, operator fee, extraData, deposit receipt version, P256VERIFY gas)
    "bedrock": ("paris", "bedrock", "none", "empty", None, None),
    "regolith": ("paris", "regolith", "none", "empty", None, None),
    "canyon": ("shanghai", "regolith", "none", "empty", 1, None),
    "delta": ("shanghai", "regolith", "none", "empty", 1, None),
    "ecotone": ("cancun", "ecotone", "none", "empty", 1, None),
    "fjord": ("cancun", "fjord", "none", "empty", 1, 3450),
    "granite": ("cancun", "fjord", "none", "empty", 1, 3450),
    "holocene": ("cancun", "fjord", "none", "holocene", 1, 3450),
    "isthmus": ("prague", "fjord", "isthmus", "holocene", 1, 3450),
    "jovian": ("prague", "fjord", "jovian", "jovian", 1, 3450),
    "karst": ("osaka", "fjord", "jovian", "jovian", 1, 6900),
    "lagoon": ("osaka", "fjord", "jovian", "jovian", 1, 6900),
}
SINCE = {
    "deposit_nonce_in_receipt": "regolith",
    "deposits_report_gas": "regolith",
    "withdrawals_root_is_message_passer": "isthmus",
    "min_base_fee": "jovian",
    "da_footprint": "jovian",
    "only_deposits_on_activation": "jovian",
}
BN254, G1_MSM, G2_MSM, BLS = 0x08, 0x0C, 0x0E, 0x0F
LIMITS = {
    "granite": {BN254: 112_687},
    "holocene": {BN254: 112_687},
    "isthmus": {BN254: 112_687, G1_MSM: 513_760, G2_MSM: 488_448, BLS: 235_008},
    "jovian": {BN254: 81_984, G1_MSM: 288_960, G2_MSM: 278_784, BLS: 156_672},
    "karst": {BN254: 57_600, G1_MSM: 288_960, G2_MSM: 278_784, BLS: 156_672},
    "lagoon": {BN254: 57_600, G1_MSM: 288_960, G2_MSM: 278_784, BLS: 156_672},
}
BLOBS = {
    "cancun": (3, 6, 3_338_477),
    "prague": (6, 9, 5_007_716),
    "osaka": (6, 9, 5_007_716),
    "bpo1": (10, 15, 8_346_193),
    "bpo2": (14, 21, 11_684_671),
}
TYPES_SINCE = {1: "berlin", 2: "london", 3: "cancun", 4: "prague"}  # EIP-2930, 1559, 4844, 7702
REWARDS = {"frontier": 5, "homestead": 5, "tangerine_whistle": 5, "spurious_dragon": 5}
REWARDS |= {"byzantium": 3} | dict.fromkeys(("constantinople", "petersburg", "istanbul", "muir_glacier", "berlin", "london"), 2)
REWARDS |= {"arrow_glacier": 2, "gray_glacier": 2}


def types(rules: str, *others: int) -> frozenset[int]:
    return frozenset((0, *others, *(kind for kind, since in TYPES_SINCE.items() if L1Rules(rules).includes(L1Rules(since)))))


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_op_row(fork: Fork):
    l1, l1_fee, operator_fee, extra_data, receipt_version, p256_gas = ROWS[fork.name]
    order = [row.name for row in OP_FORKS]
    expected = Fork(
        fork.name,
        L1Rules(l1),
        is_optimism=True,
        transaction_types=types(l1, 0x7E, *((0x7D,) if fork.name == "lagoon" else ())) - {3},
        l1_fee=L1FeeRule(l1_fee),
        operator_fee=OperatorFeeRule(operator_fee),
        extra_data=ExtraDataForm(extra_data),
        deposit_receipt_version=receipt_version,
        p256_verify_gas=p256_gas,
        precompile_input_limits=LIMITS.get(fork.name, {}),
        create2_deployer_on_activation=fork.name == "canyon",
        derivation_only=fork.name == "delta",
        **{field: order.index(fork.name) >= order.index(since) for field, since in SINCE.items()},
    )
    assert fork == expected


@pytest.mark.parametrize("fork", ETHEREUM_FORKS, ids=lambda fork: fork.name)
def test_ethereum_row(fork: Fork):
    rules = "osaka" if fork.name.startswith("bpo") else fork.name
    expected = Fork(
        fork.name,
        L1Rules(rules),
        transaction_types=types(rules),
        block_reward=REWARDS.get(fork.name, 0) * 10**18,
        blobs=BlobSchedule(*BLOBS[fork.name]) if fork.name in BLOBS else None,
        p256_verify_gas=6900 if rules == "osaka" else None,
    )
    assert fork == expected


def test_rows_are_complete_and_in_order():
    assert [fork.name for fork in OP_FORKS] == list(ROWS)
    assert len({fork.name for fork in (*OP_FORKS, *ETHEREUM_FORKS)}) == 32
    for earlier, later in pairwise(OP_FORKS):
        assert later.l1.includes(earlier.l1)
    assert dataclasses.fields(Fork)[0].name == "name"


# ---- which fork is in force -----------------------------------------------------------------------------------------

OP_SECTION = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}


def op_config(**times: int):
    config = {"chainId": 901, "bedrockBlock": 0, "optimism": OP_SECTION}
    return chain_config(config | {fork + "Time": time for fork, time in times.items()})


def test_a_fork_holds_from_its_time_on():
    config = op_config(regolith=0, canyon=100, ecotone=200)
    assert [config.fork_at(1, time) for time in (99, 100, 199, 200, 10**12)] == [
        forks.REGOLITH,
        forks.CANYON,
        forks.CANYON,
        forks.ECOTONE,
        forks.ECOTONE,
    ]


def test_forks_at_one_time_mean_the_last_of_them():
    config = op_config(**{fork.name: 50 for fork in OP_FORKS[1:]})
    assert config.fork_at(1, 49) is forks.BEDROCK
    assert config.fork_at(1, 50) is forks.LAGOON
    assert config.activated((1, 49), (2, 51)) == OP_FORKS[1:]


def test_an_activation_block_need_not_hit_the_time():
    config = op_config(regolith=0, canyon=101)
    assert config.activated((5, 100), (6, 102)) == (forks.CANYON,)
    assert config.activated((6, 102), (7, 104)) == ()


def test_a_chain_may_leave_a_fork_out():
    """Own test: registered chains exist that never scheduled Delta or went from one fork to a later one."""
    config = op_config(regolith=0, canyon=0, ecotone=0, holocene=10)
    assert config.fork_at(1, 9) is forks.ECOTONE
    assert config.fork_at(1, 10) is forks.HOLOCENE


@pytest.mark.parametrize("times", [{"canyon": 10, "ecotone": 5}, {"jovian": 1, "karst": 0}, {"regolith": 3, "canyon": 2}])
def test_forks_out_of_order_are_refused(times: dict[str, int]):
    with pytest.raises(ConfigError, match="unsupported fork ordering"):
        op_config(**times)


def test_unknown_keys_are_tolerated():
    config = {"chainId": 1, "optimism": OP_SECTION, "pectraBlobScheduleTime": 5, "keepKarstUpgradeGas": True, "somethingNew": {}}
    assert chain_config(config).fork_at(0, 0) is forks.BEDROCK
    assert chain_config(config).unknown_forks == ()


@pytest.mark.parametrize(("op", "l1"), [("canyon", "shanghai"), ("ecotone", "cancun"), ("isthmus", "prague"), ("karst", "osaka")])
def test_ethereum_times_must_equal_the_op_times_that_imply_them(op: str, l1: str):
    assert op_config(**{op: 7, l1: 7}).fork_at(1, 7).name == op
    with pytest.raises(ConfigError):
        op_config(**{op: 7, l1: 8})


def test_ethereum_forks_by_block_and_time():
    blocks = {"homesteadBlock": 0, "eip150Block": 3, "eip158Block": 6, "londonBlock": 27, "mergeNetsplitBlock": 36}
    times = {"terminalTotalDifficulty": 4732352, "shanghaiTime": 390, "cancunTime": 420, "bpo1Time": 510}
    schedule = {"blobSchedule": {"cancun": {"target": 1, "max": 2, "baseFeeUpdateFraction": 3}}}
    config = chain_config({"chainId": 1} | blocks | times | schedule)
    at = [(2, 0), (3, 0), (6, 0), (27, 0), (36, 0), (39, 390), (42, 420), (51, 510)]
    names = ["homestead", "tangerine_whistle", "spurious_dragon", "london", "paris", "shanghai", "cancun", "bpo1"]
    assert [config.fork_at(*place).name for place in at] == names
    assert config.fork_at(42, 420).blobs == BlobSchedule(1, 2, 3)
    assert not config.is_optimism


def test_the_printed_table_is_up_to_date():
    page = Path(__file__).resolve().parents[2] / "docs/forks.md"
    assert page.read_text() == markdown(), "run: python -m tools.forks_page > docs/forks.md"
