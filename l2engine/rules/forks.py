"""The table of forks, one row each: a row is the previous one with a few fields replaced.

The rest of the code asks the row (`fork.deposit_nonce_in_receipt`), never the name. Ethereum's own forks are rows as
well, so that the public Ethereum test suites run through the same code; an OP row names the Ethereum rules it implies in `l1`.
Source: OP specs, superchain-upgrades.md and each fork's exec-engine.md; execution digest sections 1-3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Any

from l2engine.types.transaction import DEPOSIT_TYPE, POST_EXECUTION_TYPE


class L1FeeRule(Enum):
    """How the fee for publishing a transaction on L1 is computed (`rules/fees.py` holds the functions)."""

    NONE = "none"  # Ethereum
    BEDROCK = "bedrock"
    REGOLITH = "regolith"
    ECOTONE = "ecotone"
    FJORD = "fjord"


class OperatorFeeRule(Enum):
    """How the operator fee is computed."""

    NONE = "none"
    ISTHMUS = "isthmus"
    JOVIAN = "jovian"


class ExtraDataForm(Enum):
    """The layout of a header's extraData."""

    FREE = "free"  # Ethereum: up to 32 bytes
    EMPTY = "empty"
    HOLOCENE = "holocene"  # 9 bytes
    JOVIAN = "jovian"  # 17 bytes


class L1Rules(StrEnum):
    """The Ethereum rules below an OP fork; py-evm's class names and revm's spec ids follow from it."""

    FRONTIER = "frontier"
    HOMESTEAD = "homestead"
    TANGERINE_WHISTLE = "tangerine_whistle"
    SPURIOUS_DRAGON = "spurious_dragon"
    BYZANTIUM = "byzantium"
    CONSTANTINOPLE = "constantinople"
    PETERSBURG = "petersburg"
    ISTANBUL = "istanbul"
    MUIR_GLACIER = "muir_glacier"
    BERLIN = "berlin"
    LONDON = "london"
    ARROW_GLACIER = "arrow_glacier"
    GRAY_GLACIER = "gray_glacier"
    PARIS = "paris"
    SHANGHAI = "shanghai"
    CANCUN = "cancun"
    PRAGUE = "prague"
    OSAKA = "osaka"

    def includes(self, other: "L1Rules") -> bool:
        """Whether these rules are `other` or later."""
        return _L1_ORDER[self] >= _L1_ORDER[other]


_L1_ORDER = {rules: index for index, rules in enumerate(L1Rules)}


@dataclass(frozen=True, slots=True)
class BlobSchedule:
    """EIP-4844 parameters of an Ethereum fork (EIP-7840, EIP-7892)."""

    target: int
    max: int
    base_fee_update_fraction: int


@dataclass(frozen=True, slots=True)
class Fork:
    """One row of the table. Fields of the OP Stack keep their neutral value in Ethereum's rows."""

    name: str
    l1: L1Rules
    is_optimism: bool = False
    transaction_types: frozenset[int] = frozenset((0,))
    """Types of the transactions that a block may hold (EIP-2718)."""

    # Ethereum only
    block_reward: int = 0
    """Wei for the miner; 0 after the merge."""
    blobs: BlobSchedule | None = None
    """Ethereum's blob market; None on OP chains, where blob transactions are invalid."""

    # deposits
    deposit_nonce_in_receipt: bool = False
    """Receipts keep the deposit's nonce (Regolith)."""
    deposits_report_gas: bool = False
    """Deposits report the gas they actually used, and system deposits are refused (Regolith); before, they report their whole limit."""
    deposit_receipt_version: int | None = None
    """1 from Canyon on, which also puts the nonce into the receipts root."""

    # fees and header
    l1_fee: L1FeeRule = L1FeeRule.NONE
    operator_fee: OperatorFeeRule = OperatorFeeRule.NONE
    extra_data: ExtraDataForm = ExtraDataForm.FREE
    min_base_fee: bool = False
    da_footprint: bool = False
    """blobGasUsed holds the DA footprint, which counts for the base fee and is bounded by the gas limit (Jovian)."""
    withdrawals_root_is_message_passer: bool = False
    """Isthmus: the header's withdrawalsRoot is the storage root of the L2ToL1MessagePasser."""
    create2_deployer_on_activation: bool = False
    """Canyon's irregular state transition belongs to this fork's activation block."""
    only_deposits_on_activation: bool = False
    """The builder refuses user transactions in this fork's activation block (Jovian and later)."""
    derivation_only: bool = False
    """The fork only changes how the rollup node derives blocks, nothing in the engine, so fork ids leave it out."""

    # precompiles
    p256_verify_gas: int | None = None
    """Gas of the precompile at 0x100; None where there is none."""
    precompile_input_limits: Mapping[int, int] = field(default_factory=dict)
    """Address to the longest accepted input in bytes; longer input fails the call."""

    def then(self, name: str, **changes: Any) -> "Fork":
        """The next fork: this one with a few fields replaced."""
        return replace(self, name=name, **changes)

    has: Callable[[L1Rules], bool] = field(init=False, repr=False, compare=False)
    """Whether the given Ethereum rules are in force. It is called some twenty times per block, so it is directly a set's look-up."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "has", frozenset(rules for rules in L1Rules if self.l1.includes(rules)).__contains__)


# ---- Ethereum -------------------------------------------------------------------------------------------------------

FRONTIER = Fork("frontier", L1Rules.FRONTIER, block_reward=5 * 10**18)
HOMESTEAD = FRONTIER.then("homestead", l1=L1Rules.HOMESTEAD)
TANGERINE_WHISTLE = HOMESTEAD.then("tangerine_whistle", l1=L1Rules.TANGERINE_WHISTLE)
SPURIOUS_DRAGON = TANGERINE_WHISTLE.then("spurious_dragon", l1=L1Rules.SPURIOUS_DRAGON)
BYZANTIUM = SPURIOUS_DRAGON.then("byzantium", l1=L1Rules.BYZANTIUM, block_reward=3 * 10**18)
CONSTANTINOPLE = BYZANTIUM.then("constantinople", l1=L1Rules.CONSTANTINOPLE, block_reward=2 * 10**18)
PETERSBURG = CONSTANTINOPLE.then("petersburg", l1=L1Rules.PETERSBURG)
ISTANBUL = PETERSBURG.then("istanbul", l1=L1Rules.ISTANBUL)
MUIR_GLACIER = ISTANBUL.then("muir_glacier", l1=L1Rules.MUIR_GLACIER)
BERLIN = MUIR_GLACIER.then("berlin", l1=L1Rules.BERLIN, transaction_types=frozenset((0, 1)))
LONDON = BERLIN.then("london", l1=L1Rules.LONDON, transaction_types=frozenset((0, 1, 2)))
ARROW_GLACIER = LONDON.then("arrow_glacier", l1=L1Rules.ARROW_GLACIER)
GRAY_GLACIER = ARROW_GLACIER.then("gray_glacier", l1=L1Rules.GRAY_GLACIER)
PARIS = GRAY_GLACIER.then("paris", l1=L1Rules.PARIS, block_reward=0)
SHANGHAI = PARIS.then("shanghai", l1=L1Rules.SHANGHAI)
CANCUN = SHANGHAI.then("cancun", l1=L1Rules.CANCUN, transaction_types=frozenset((0, 1, 2, 3)), blobs=BlobSchedule(3, 6, 3338477))
PRAGUE = CANCUN.then("prague", l1=L1Rules.PRAGUE, transaction_types=frozenset((0, 1, 2, 3, 4)), blobs=BlobSchedule(6, 9, 5007716))
OSAKA = PRAGUE.then("osaka", l1=L1Rules.OSAKA, p256_verify_gas=6900)
BPO1 = OSAKA.then("bpo1", blobs=BlobSchedule(10, 15, 8346193))
BPO2 = BPO1.then("bpo2", blobs=BlobSchedule(14, 21, 11684671))

ETHEREUM_FORKS = (
    FRONTIER, HOMESTEAD, TANGERINE_WHISTLE, SPURIOUS_DRAGON, BYZANTIUM, CONSTANTINOPLE, PETERSBURG, ISTANBUL, MUIR_GLACIER,
    BERLIN, LONDON, ARROW_GLACIER, GRAY_GLACIER, PARIS, SHANGHAI, CANCUN, PRAGUE, OSAKA, BPO1, BPO2,
)  # fmt: skip

# ---- OP Stack -------------------------------------------------------------------------------------------------------

BN254_PAIRING, BLS_G1_MSM, BLS_G2_MSM, BLS_PAIRING = 0x08, 0x0C, 0x0E, 0x0F

BEDROCK = Fork(
    "bedrock",
    L1Rules.PARIS,
    is_optimism=True,
    transaction_types=frozenset((0, 1, 2, DEPOSIT_TYPE)),
    l1_fee=L1FeeRule.BEDROCK,
    extra_data=ExtraDataForm.EMPTY,
)
REGOLITH = BEDROCK.then("regolith", l1_fee=L1FeeRule.REGOLITH, deposit_nonce_in_receipt=True, deposits_report_gas=True)
CANYON = REGOLITH.then("canyon", l1=L1Rules.SHANGHAI, deposit_receipt_version=1, create2_deployer_on_activation=True)
DELTA = CANYON.then("delta", create2_deployer_on_activation=False, derivation_only=True)
ECOTONE = DELTA.then("ecotone", derivation_only=False, l1=L1Rules.CANCUN, l1_fee=L1FeeRule.ECOTONE)
FJORD = ECOTONE.then("fjord", l1_fee=L1FeeRule.FJORD, p256_verify_gas=3450)
GRANITE = FJORD.then("granite", precompile_input_limits={BN254_PAIRING: 112_687})
HOLOCENE = GRANITE.then("holocene", extra_data=ExtraDataForm.HOLOCENE)
ISTHMUS = HOLOCENE.then(
    "isthmus",
    l1=L1Rules.PRAGUE,
    transaction_types=frozenset((0, 1, 2, 4, DEPOSIT_TYPE)),
    operator_fee=OperatorFeeRule.ISTHMUS,
    withdrawals_root_is_message_passer=True,
    precompile_input_limits={BN254_PAIRING: 112_687, BLS_G1_MSM: 513_760, BLS_G2_MSM: 488_448, BLS_PAIRING: 235_008},
)
JOVIAN = ISTHMUS.then(
    "jovian",
    operator_fee=OperatorFeeRule.JOVIAN,
    extra_data=ExtraDataForm.JOVIAN,
    min_base_fee=True,
    da_footprint=True,
    only_deposits_on_activation=True,
    precompile_input_limits={BN254_PAIRING: 81_984, BLS_G1_MSM: 288_960, BLS_G2_MSM: 278_784, BLS_PAIRING: 156_672},
)
KARST = JOVIAN.then(
    "karst",
    l1=L1Rules.OSAKA,
    p256_verify_gas=6900,
    precompile_input_limits={**JOVIAN.precompile_input_limits, BN254_PAIRING: 57_600},
)
LAGOON = KARST.then("lagoon", transaction_types=KARST.transaction_types | {POST_EXECUTION_TYPE})

OP_FORKS = (BEDROCK, REGOLITH, CANYON, DELTA, ECOTONE, FJORD, GRANITE, HOLOCENE, ISTHMUS, JOVIAN, KARST, LAGOON)

FORKS_BY_NAME = {fork.name: fork for fork in (*ETHEREUM_FORKS, *OP_FORKS)}
assert len(FORKS_BY_NAME) == len(ETHEREUM_FORKS) + len(OP_FORKS)
