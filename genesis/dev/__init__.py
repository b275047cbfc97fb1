"""The dev chain's genesis: any OP fork from the first block on, our own predeploys, funded accounts.

The predeploys are in `contracts/` as Solidity and in `contracts.json` as runtime code (`make -C genesis/dev` rebuilds it).
They have the interface and the storage layout of the real ones, without proxies. System contracts and preinstalls that no
compiler of ours made are given as code: EIP-4788, EIP-2935 and the deterministic deployment proxy.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from genesis.chains import L1_FORKS
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.errors import ConfigError
from l2engine.rules.config import DEV_RULES
from l2engine.rules.forks import OP_FORKS, ExtraDataForm, Fork, L1FeeRule, L1Rules, OperatorFeeRule
from l2engine.rules.predeploys import (
    BASE_FEE_VAULT,
    BEACON_ROOTS,
    CREATE2_DEPLOYER,
    CROSS_L2_INBOX,
    GAS_PRICE_ORACLE,
    HISTORY_STORAGE,
    L1_BLOCK,
    L1_FEE_VAULT,
    L2_TO_L1_MESSAGE_PASSER,
    L2_TO_L2_MESSENGER,
    OPERATOR_FEE_VAULT,
    SEQUENCER_FEE_VAULT,
    create2_deployer_code,
)
from l2engine.types.base import Address
from l2engine.types.transaction import POST_EXECUTION_TYPE

CHAIN_ID = 901
DEV_ADDRESSES = tuple(account.address for account in DEV_ACCOUNTS)
BALANCE = 10_000 * 10**18
GAS_LIMIT = 30_000_000
ELASTICITY, DENOMINATOR, DENOMINATOR_CANYON = 6, 50, 250

WETH: Address = bytes.fromhex("4200000000000000000000000000000000000006")
PROXY_ADMIN: Address = bytes.fromhex("4200000000000000000000000000000000000018")
MULTICALL3: Address = bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")
DEPLOYMENT_PROXY: Address = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")

_BEACON_ROOTS_CODE = (  # EIP-4788
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c575f5ffd5b"
    "62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
)
_HISTORY_STORAGE_CODE = (  # EIP-2935
    "0x3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f52"
    "60205ff35b5f5ffd5b5f35611fff60014303065500"
)
_DEPLOYMENT_PROXY_CODE = (
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b80825250"
    "50506014600cf3"
)
_ADMIN_SLOT = "0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103"  # EIP-1967, set on real predeploys too


def dev_genesis(
    fork_name: str,
    timestamp: int,
    accounts: Iterable[bytes] = DEV_ADDRESSES,
    balance: int = BALANCE,
    chain_id: int = CHAIN_ID,
    later: Mapping[str, int] | None = None,
    equal_timestamps: bool = False,
) -> dict[str, Any]:
    """A genesis in geth's format with the named fork in force from block 0, and `later` ones so many seconds after it; forks between
    them begin with the later one. `balance` is wei; `equal_timestamps` lets a block have its parent's timestamp. `ConfigError` for an unknown fork or one out of order."""
    fork = OP_FORKS[_place(fork_name)]
    genesis: dict[str, Any] = {
        "config": _config(chain_id, _schedule(fork_name, timestamp, later or {})) | dict(DEV_RULES if equal_timestamps else {}),
        "nonce": "0x0",
        "timestamp": hex(timestamp),
        "extraData": _extra_data(fork),
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x0",
        "mixHash": "0x" + "00" * 32,
        "coinbase": "0x" + SEQUENCER_FEE_VAULT.hex(),
        "number": "0x0",
        "gasUsed": "0x0",
        "parentHash": "0x" + "00" * 32,
        "baseFeePerGas": hex(10**9),
        "alloc": {**_contracts(fork), **{"0x" + address.hex(): {"balance": hex(balance)} for address in accounts}},
    }
    if fork.has(L1Rules.CANCUN):
        genesis |= {"excessBlobGas": "0x0", "blobGasUsed": "0x0"}
    return genesis


def _place(name: str) -> int:
    names = [fork.name for fork in OP_FORKS]
    if name not in names:
        raise ConfigError(f"unknown fork {name!r}; known are {', '.join(names)}")
    return names.index(name)


def _schedule(first: str, genesis_time: int, later: Mapping[str, int]) -> dict[str, int]:
    """The activation time of each fork after Bedrock, 0 for those in force from block 0 on."""
    times = {fork.name: 0 for fork in OP_FORKS[1 : _place(first) + 1]}
    reached, latest = _place(first), 0
    for name, seconds in sorted(later.items(), key=lambda item: _place(item[0])):
        if _place(name) <= reached:
            raise ConfigError(f"{name} cannot begin later: {first} includes it")
        if seconds < latest:
            raise ConfigError(f"{name} cannot begin before the forks that it includes")
        times |= {fork.name: genesis_time + seconds for fork in OP_FORKS[reached + 1 : _place(name) + 1]}
        reached, latest = _place(name), seconds
    return times


def _config(chain_id: int, times: Mapping[str, int]) -> dict[str, Any]:
    blocks = (
        "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul muirGlacier berlin london arrowGlacier grayGlacier"
    )
    config: dict[str, Any] = {"chainId": chain_id, "terminalTotalDifficulty": 0, "terminalTotalDifficultyPassed": True}
    config |= {f"{name}Block": 0 for name in (*blocks.split(), "mergeNetsplit", "bedrock")}
    for name, time in times.items():
        config[f"{name}Time"] = time
        if name in L1_FORKS:
            config[f"{L1_FORKS[name]}Time"] = time
    config["optimism"] = {
        "eip1559Elasticity": ELASTICITY,
        "eip1559Denominator": DENOMINATOR,
        "eip1559DenominatorCanyon": DENOMINATOR_CANYON,
    }
    return config


def _extra_data(fork: Fork) -> str:
    parameters = DENOMINATOR_CANYON.to_bytes(4, "big") + ELASTICITY.to_bytes(4, "big")
    match fork.extra_data:
        case ExtraDataForm.JOVIAN:
            return "0x01" + parameters.hex() + "00" * 8
        case ExtraDataForm.HOLOCENE:
            return "0x00" + parameters.hex()
    return "0x"


def _contracts(fork: Fork) -> dict[str, dict[str, Any]]:
    code: Mapping[str, str] = json.loads((Path(__file__).parent / "contracts.json").read_text())["code"]
    recipient = "0x" + DEV_ACCOUNTS[-1].address.hex().zfill(64)
    vault = {"code": code["FeeVault"], "storage": {"0x01": recipient}}
    contracts: dict[Address, dict[str, Any]] = {
        L1_BLOCK: {"code": code["L1Block"]},
        GAS_PRICE_ORACLE: {"code": code["GasPriceOracle"], "storage": {"0x00": _oracle_forks(fork)}},
        # op-geth omits withdrawalsRoot while the message passer's storage is empty, so it never is
        L2_TO_L1_MESSAGE_PASSER: {"code": code["L2ToL1MessagePasser"], "storage": {_ADMIN_SLOT: "0x" + PROXY_ADMIN.hex()}},
        **dict.fromkeys((SEQUENCER_FEE_VAULT, BASE_FEE_VAULT, L1_FEE_VAULT, OPERATOR_FEE_VAULT), vault),
        WETH: {"code": code["WETH9"]},
        MULTICALL3: {"code": code["Multicall3"]},
        DEPLOYMENT_PROXY: {"nonce": "0x1", "code": _DEPLOYMENT_PROXY_CODE},
    }
    if POST_EXECUTION_TYPE in fork.transaction_types:  # Lagoon, which brings messages between chains as well
        contracts[CROSS_L2_INBOX] = {"code": code["CrossL2Inbox"]}
        contracts[L2_TO_L2_MESSENGER] = {"code": code["L2ToL2CrossDomainMessenger"]}
    if fork.has(L1Rules.SHANGHAI):
        contracts[CREATE2_DEPLOYER] = {"code": "0x" + create2_deployer_code().hex()}
    if fork.has(L1Rules.CANCUN):
        contracts[BEACON_ROOTS] = {"nonce": "0x1", "code": _BEACON_ROOTS_CODE}
    if fork.has(L1Rules.PRAGUE):
        contracts[HISTORY_STORAGE] = {"nonce": "0x1", "code": _HISTORY_STORAGE_CODE}
    return {"0x" + address.hex(): {"balance": "0x0", **account} for address, account in contracts.items()}


def _oracle_forks(fork: Fork) -> str:
    """GasPriceOracle's slot 0: one byte per fork whose formula holds, Ecotone lowest."""
    reached = (
        fork.l1_fee in (L1FeeRule.ECOTONE, L1FeeRule.FJORD),
        fork.l1_fee is L1FeeRule.FJORD,
        fork.operator_fee is not OperatorFeeRule.NONE,
        fork.operator_fee is OperatorFeeRule.JOVIAN,
    )
    return "0x" + bytes(reversed(reached)).hex()
