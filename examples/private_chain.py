"""Files for a chain of one's own on a private L1: genesis.json, rollup.json and l1-chain-config.json, in the working directory.

.venv/bin/python examples/private_chain.py http://127.0.0.1:8745

The L1 is any development node, anvil for one. The chain begins at its last block, with the genesis of the dev chain; account 1 of the dev
accounts is the batcher. There are no contracts on the L1, so nobody can deposit: a real chain's files come from op-deployer.
"""

import json
import sys
import urllib.request
from pathlib import Path

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from genesis.loader import load

FORK = "jovian"
FORKS = ("regolith", "canyon", "delta", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian")
ZERO = "0x" + "00" * 32


def ask(url, method, *params):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return json.load(urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})))["result"]


def rollup(genesis, l1_chain_id, l1_block):
    """The rollup node's configuration."""
    return {
        "genesis": {
            "l1": {"hash": l1_block["hash"], "number": int(l1_block["number"], 16)},
            "l2": {"hash": "0x" + load(genesis).hash.hex(), "number": 0},
            "l2_time": int(genesis["timestamp"], 16),
            "system_config": {
                "batcherAddr": "0x" + DEV_ACCOUNTS[1].address.hex(),
                "overhead": ZERO,
                "scalar": f"0x01{'00' * 23}{810_949:08x}{1368:08x}",  # Ecotone's form: version, blob scalar, base fee scalar
                "gasLimit": 30_000_000,
                "eip1559Params": "0x" + "00" * 8,
                "operatorFeeParams": ZERO,
                "minBaseFee": 0,
                "daFootprintGasScalar": 0,
            },
        },
        "block_time": 2,
        "max_sequencer_drift": 600,
        "seq_window_size": 3600,
        "channel_timeout": 300,
        "l1_chain_id": l1_chain_id,
        "l2_chain_id": genesis["config"]["chainId"],
        **{f"{fork}_time": 0 for fork in FORKS},
        "batch_inbox_address": "0xff" + "00" * 17 + "0901",
        "deposit_contract_address": "0x" + "11" * 20,
        "l1_system_config_address": "0x" + "22" * 20,
        "chain_op_config": genesis["config"]["optimism"],
    }


def l1_config(chain_id):
    """The L1's forks: everything up to Prague from block 0, as anvil has it."""
    blocks = (
        "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul muirGlacier berlin london arrowGlacier grayGlacier"
    )
    return {
        "chainId": chain_id,
        **{f"{name}Block": 0 for name in (*blocks.split(), "mergeNetsplit")},
        "terminalTotalDifficulty": 0,
        **{f"{name}Time": 0 for name in ("shanghai", "cancun", "prague")},
        "blobSchedule": {
            "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477},
            "prague": {"target": 6, "max": 9, "baseFeeUpdateFraction": 5_007_716},
        },
    }


def main(url):
    l1_chain_id, l1_block = int(ask(url, "eth_chainId"), 16), ask(url, "eth_getBlockByNumber", "latest", False)
    genesis = dev_genesis(FORK, int(l1_block["timestamp"], 16))
    files = {"genesis": genesis, "rollup": rollup(genesis, l1_chain_id, l1_block), "l1-chain-config": l1_config(l1_chain_id)}
    for name, content in files.items():
        Path(f"{name}.json").write_text(json.dumps(content, indent=1))
    print("wrote genesis.json, rollup.json and l1-chain-config.json; the chain begins at L1 block", int(l1_block["number"], 16))


if __name__ == "__main__":
    main(sys.argv[1])
