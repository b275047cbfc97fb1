"""The accounts that the protocol knows by address, and the one contract code that it writes without a transaction.

Sources: OP specs, predeploys.md, preinstalls.md, canyon/exec-engine; EIP-4788, EIP-2935, EIP-7002, EIP-7251.
"""

from functools import cache
from importlib.resources import files

from l2engine.types.base import Address, Hash32, keccak


def _predeploy(last_byte: int) -> Address:
    return bytes.fromhex("42000000000000000000000000000000000000") + bytes([last_byte])


GAS_PRICE_ORACLE = _predeploy(0x0F)
SEQUENCER_FEE_VAULT = _predeploy(0x11)
L1_BLOCK = _predeploy(0x15)
L2_TO_L1_MESSAGE_PASSER = _predeploy(0x16)
BASE_FEE_VAULT = _predeploy(0x19)
L1_FEE_VAULT = _predeploy(0x1A)
OPERATOR_FEE_VAULT = _predeploy(0x1B)
CROSS_L2_INBOX = _predeploy(0x22)
L2_TO_L2_MESSENGER = _predeploy(0x23)
ETH_LIQUIDITY = _predeploy(0x25)

DEPOSITOR: Address = bytes.fromhex("deaddeaddeaddeaddeaddeaddeaddeaddead0001")
"""The sender of the L1-attributes deposit."""

CREATE2_DEPLOYER: Address = bytes.fromhex("13b0d85ccb8bf860b6b79af3029fca081ae9bef2")
CREATE2_DEPLOYER_CODE_HASH: Hash32 = bytes.fromhex("b0550b5b431e30d38000efb7107aaa0ade03d48a7198a140edda9d27134468b2")

SYSTEM_CALLER: Address = bytes.fromhex("fffffffffffffffffffffffffffffffffffffffe")
BEACON_ROOTS: Address = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
HISTORY_STORAGE: Address = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
WITHDRAWAL_REQUESTS: Address = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
CONSOLIDATION_REQUESTS: Address = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")


@cache
def create2_deployer_code() -> bytes:
    """The code that Canyon's activation block gives to `CREATE2_DEPLOYER`."""
    code = bytes.fromhex(files("l2engine.rules").joinpath("create2_deployer.hex").read_text())
    assert keccak(code) == CREATE2_DEPLOYER_CODE_HASH
    return code
