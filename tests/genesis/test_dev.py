"""The dev chain's genesis: every fork loads, and what is committed fits what it came from."""

import hashlib
import json
from pathlib import Path

import pytest
from eth_account import Account

import genesis.dev
from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS, MNEMONIC
from genesis.loader import load
from l2engine.errors import ConfigError
from l2engine.rules.forks import OP_FORKS
from l2engine.types.base import EMPTY_ROOT, keccak
from tests.helpers.vectors import VECTORS, needs_vectors

FOLDER = Path(genesis.dev.__file__).parent


@pytest.mark.parametrize("fork", OP_FORKS, ids=lambda fork: fork.name)
def test_genesis_of_every_fork_loads(fork):
    loaded = load(dev_genesis(fork.name, 1_700_000_000))
    assert loaded.config.fork_at(0, 1_700_000_000) == fork
    assert loaded.config.chain_id == 901
    assert loaded.alloc[DEV_ACCOUNTS[0].address].balance == 10_000 * 10**18
    if fork.withdrawals_root_is_message_passer:
        assert loaded.header.withdrawals_root not in (None, EMPTY_ROOT)


def test_unknown_fork_is_refused():
    with pytest.raises(ConfigError, match="unknown fork 'neverland'"):
        dev_genesis("neverland", 0)


def test_accounts_come_from_the_mnemonic():
    Account.enable_unaudited_hdwallet_features()
    for index, account in enumerate(DEV_ACCOUNTS):
        derived = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        assert (bytes.fromhex(derived.address[2:]), bytes(derived.key)) == (account.address, account.private_key)


def test_compiled_code_is_of_these_sources():
    """When this fails, run `make -C genesis/dev`."""
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted((FOLDER / "contracts").glob("*.sol"))))
    assert json.loads((FOLDER / "contracts.json").read_text())["sources"] == digest.hexdigest()


@needs_vectors
def test_system_contracts_are_those_of_op_geth_chains():
    recorded = json.loads((VECTORS / "recordings/jovian/genesis.json").read_text())["alloc"]
    ours = dev_genesis("jovian", 0)["alloc"]
    for address in ("000f3df6d732807ef1319fb7b8bb8522d0beac02", "0000f90827f1c53a10cb7a02335b175320002935"):
        account = next(value for key, value in recorded.items() if key.lower().removeprefix("0x") == address)
        assert ours["0x" + address]["code"] == account["code"]
    assert keccak(bytes.fromhex(ours["0x0000f90827f1c53a10cb7a02335b175320002935"]["code"][2:])).hex().startswith("6e49e66782037c05")
