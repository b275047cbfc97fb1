"""An engine inside your own program or test: no process, no port, no file, and the same hashes every time.

A rollup node's calls are methods of `chain.engine`; here the dev chain's sequencer makes them. JSON-RPC works without a socket.
For real ports in this process there is `async with Node(settings) as node` (l2engine/node.py).
"""

import json
from concurrent.futures import ThreadPoolExecutor

from eth_account import Account

from genesis.dev import dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from genesis.loader import load
from l2engine import assembly
from l2engine.dev.sequencer import Sequencer
from l2engine.settings import Settings
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.registry import ENGINE_NAMESPACES, methods_for

GENESIS_TIME = 1_700_000_000
alice, bob = DEV_ACCOUNTS[:2]
settings = Settings()
database = assembly.memory_database(settings)
assembly.write(database, load(dev_genesis("jovian", GENESIS_TIME)))
chain = assembly.open_chain(settings, database)

fields = {"type": 2, "chainId": 901, "nonce": 0, "to": bob.address, "value": 10**18, "gas": 21_000}
fields |= {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6}
chain.engine.pool.add(bytes(Account.sign_transaction(fields, alice.private_key).raw_transaction))
with ThreadPoolExecutor(1) as engine_thread:
    block = Sequencer(chain.engine, engine_thread).make_block(GENESIS_TIME + 2)

account = chain.state.view(block.hash).account(bob.address)
print("block", block.number, f"0x{block.hash.hex()}", "with", len(block.transactions), "transactions; bob has", account.balance)

request = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": ["latest"]}
answer = handle(json.dumps(request).encode(), methods_for(ENGINE_NAMESPACES), Context(chain.engine))
print("gas used", [int(receipt["gasUsed"], 16) for receipt in json.loads(answer)["result"]])
chain.close()
