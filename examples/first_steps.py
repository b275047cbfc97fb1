"""Send ether on the dev chain (`make run` in another terminal) and look at the receipt."""

from web3 import Web3

web3 = Web3(Web3.HTTPProvider("http://127.0.0.1:8545"))
account = web3.eth.account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
transaction = {
    "to": "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "value": 10**18,
    "gas": 21000,
    "chainId": 901,
    "nonce": web3.eth.get_transaction_count(account.address),
    "maxFeePerGas": 3 * 10**9,
    "maxPriorityFeePerGas": 10**6,
}
sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
receipt = web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)
print("block", receipt.blockNumber, "gas", receipt.gasUsed, "L1 fee", int(receipt.l1Fee, 16))
