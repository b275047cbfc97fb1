"""Deploy a contract on the dev chain (`make run` in another terminal), call it, and read its logs.

The contract is the WETH of the dev genesis, deployed once more from its runtime code.
"""

import json
from pathlib import Path

from web3 import Web3

web3 = Web3(Web3.HTTPProvider("http://127.0.0.1:8545"))
account = web3.eth.account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
code = json.loads((Path(__file__).parents[1] / "genesis/dev/contracts.json").read_text())["code"]["WETH9"][2:]
abi = [
    {"type": "function", "name": "deposit", "inputs": [], "outputs": [], "stateMutability": "payable"},
    {
        "type": "event",
        "name": "Deposit",
        "anonymous": False,
        "inputs": [{"name": "dst", "type": "address", "indexed": True}, {"name": "wad", "type": "uint256", "indexed": False}],
    },
]


def send(**fields):
    fields |= {"nonce": web3.eth.get_transaction_count(account.address), "chainId": 901, "gas": 2_000_000}
    fields |= {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6}
    sent = web3.eth.send_raw_transaction(account.sign_transaction(fields).raw_transaction)
    return web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)


copy_and_return = f"0x61{len(code) // 2:04x}80600a3d393df3"  # init code: return the bytes that follow
address = send(data=copy_and_return + code).contractAddress
contract = web3.eth.contract(address, abi=abi)
send(to=address, value=10**18, data=contract.encode_abi("deposit"))
for log in contract.events.Deposit().get_logs(from_block=0):
    print(f"block {log.blockNumber}: {log.args.dst} deposited {log.args.wad} wei into {address}")
