"""cast, of Foundry, at a Lagoon chain that gives refunds."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from tests.helpers.running import RunningNode

CAST = "@foundry-rs/cast@1.7.1"
READS_A_SLOT = "0x6004600c60003960046000f360015450"


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_cast_sends_and_reads_refunds(tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(tmp_path), CAST]
    subprocess.run(install, check=True, timeout=300)
    with RunningNode("dev", "--sdm", "warming") as node:

        def cast(command: str, *arguments: str) -> str:
            whole = ["npx", "--no-install", "cast", command, "--rpc-url", node.http, *arguments]
            done = subprocess.run(whole, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout.strip()

        key = ["--private-key", "0x" + DEV_ACCOUNTS[0].private_key.hex()]
        contract = json.loads(cast("send", *key, "--json", "--create", READS_A_SLOT))["contractAddress"]
        nonce = int(cast("nonce", "0x" + DEV_ACCOUNTS[0].address.hex()))
        fees = ["--gas-limit", "50000", "--gas-price", "3gwei", "--priority-gas-price", "1000000"]
        later, sooner = (cast("send", contract, *key, *fees, "--nonce", str(nonce + place), "--async") for place in (1, 0))
        receipts = [json.loads(cast("receipt", sent, "--json")) for sent in (sooner, later)]
        block = json.loads(cast("block", receipts[0]["blockNumber"], "--full", "--json"))
        refunds = block["transactions"][-1]
        assert receipts[0]["blockHash"] == receipts[1]["blockHash"] == block["hash"]
        assert [receipt.get("opGasRefund") for receipt in receipts] == [None, "0x7d0"]
        assert int(receipts[0]["gasUsed"], 16) - int(receipts[1]["gasUsed"], 16) == 2000
        assert [transaction["type"] for transaction in block["transactions"]] == ["0x7e", "0x2", "0x2", "0x7d"]
        assert json.loads(cast("receipt", refunds["hash"], "--json"))["type"] == "0x7d"
