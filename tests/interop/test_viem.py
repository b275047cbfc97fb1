"""viem, with its OP Stack formatters, at a Lagoon chain that gives refunds."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from tests.helpers.running import RunningNode

VIEM = "viem@2"
SCRIPT = """
import { createPublicClient, createWalletClient, http } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { optimism } from "viem/chains";

const [url, key] = process.argv.slice(2);
const chain = { ...optimism, id: 901 };
const account = privateKeyToAccount(key);
const client = createPublicClient({ chain, transport: http(url), pollingInterval: 20 });
const wallet = createWalletClient({ account, chain, transport: http(url) });
const deploy = await wallet.deployContract({ abi: [], bytecode: "0x6004600c60003960046000f360015450" }); // reads slot 1
const to = (await client.waitForTransactionReceipt({ hash: deploy })).contractAddress;
const nonce = await client.getTransactionCount({ address: account.address });
const call = { to, gas: 50000n, maxFeePerGas: 3000000000n, maxPriorityFeePerGas: 1000000n };
const second = await wallet.sendTransaction({ ...call, nonce: nonce + 1 }); // waits for the first
const first = await wallet.sendTransaction({ ...call, nonce });
const receipts = await Promise.all([first, second].map((hash) => client.waitForTransactionReceipt({ hash })));
const block = await client.getBlock({ blockNumber: receipts[0].blockNumber, includeTransactions: true });
const last = block.transactions.at(-1);
const shown = {
  refunds: receipts.map((receipt) => receipt.opGasRefund ?? null),
  gasUsed: receipts.map((receipt) => Number(receipt.gasUsed)),
  sameBlock: receipts[0].blockNumber === receipts[1].blockNumber,
  types: block.transactions.map((transaction) => transaction.typeHex),
  last: { from: last.from, gas: Number(last.gas) },
};
console.log(JSON.stringify(shown));
"""


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_viem_reads_a_block_with_refunds(tmp_path: Path) -> None:
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(tmp_path), VIEM]
    subprocess.run(install, check=True, timeout=300)
    (tmp_path / "refunds.mjs").write_text(SCRIPT)
    with RunningNode("dev", "--sdm", "warming") as node:
        command = ["node", "refunds.mjs", node.http, "0x" + DEV_ACCOUNTS[0].private_key.hex()]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown["sameBlock"] is True
    assert shown["refunds"] == [None, "0x7d0"]
    assert shown["gasUsed"][0] - shown["gasUsed"][1] == 2000
    assert shown["types"] == ["0x7e", "0x2", "0x2", "0x7d"]
    assert shown["last"] == {"from": "0x" + "00" * 20, "gas": 0}
