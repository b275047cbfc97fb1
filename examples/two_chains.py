"""Two chains in one process that exchange messages, with a filter between them.

A log on the first chain is a message. A transaction on the second executes it through CrossL2Inbox, naming it in its access list. The
second chain's pool asks the filter first, and refuses a transaction whose message was never sent.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from eth_abi import encode
from eth_account import Account

from genesis.dev import WETH, dev_genesis
from genesis.dev.accounts import DEV_ACCOUNTS
from genesis.loader import load
from l2engine import assembly
from l2engine.dev.message_filter import StandInFilter
from l2engine.dev.sequencer import Sequencer
from l2engine.errors import PoolError
from l2engine.rules.interop_messages import MessageIdentifier, access_list_keys, payload_hash
from l2engine.rules.predeploys import CROSS_L2_INBOX
from l2engine.settings import Settings
from l2engine.types.base import checksum_address, keccak
from rpc.ports.message_filters import MessageFilters

FIRST, SECOND = 901, 902
START = int(time.time())
alice = DEV_ACCOUNTS[0]


def open_chain(chain_id: int) -> assembly.Chain:
    settings = Settings()
    database = assembly.memory_database(settings)
    assembly.write(database, load(dev_genesis("lagoon", START, chain_id=chain_id)))
    return assembly.open_chain(settings, database)


def sign(chain_id: int, **fields) -> bytes:
    fields = {"type": 2, "chainId": chain_id, "nonce": 0, "value": 0, "gas": 200_000, **fields}
    fields |= {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6}
    return bytes(Account.sign_transaction(fields, alice.private_key).raw_transaction)


def execute(message: MessageIdentifier, content: bytes) -> bytes:
    """A transaction on the second chain that executes a message: `validateMessage` with the message in the access list."""
    place = (checksum_address(message.origin), message.block_number, message.log_index, message.timestamp, message.chain_id)
    call = keccak(b"validateMessage((address,uint256,uint256,uint256,uint256),bytes32)")[:4]
    call += encode(["(address,uint256,uint256,uint256,uint256)", "bytes32"], [place, content])
    inbox, keys = checksum_address(CROSS_L2_INBOX), ["0x" + key.hex() for key in access_list_keys(message, content)]
    return sign(SECOND, to=inbox, data=call, accessList=[{"address": inbox, "storageKeys": keys}])


first, second = open_chain(FIRST), open_chain(SECOND)
with ThreadPoolExecutor(1) as engine_thread, StandInFilter({FIRST: first.engine, SECOND: second.engine}) as filter:
    second.engine.pool.message_filter = MessageFilters.at([filter.url], SECOND, "cross-unsafe")

    first.engine.pool.add(sign(FIRST, to=checksum_address(WETH), value=10**18, data=keccak(b"deposit()")[:4]))
    block = Sequencer(first.engine, engine_thread).make_block(START + 2)
    log = first.blocks.receipts(block.hash)[1].logs[0]
    message = MessageIdentifier(log.address, block.number, block.header.timestamp, 0, FIRST)
    print(f"chain {FIRST}: block {block.number} has a log of WETH, a message")

    sequencer = Sequencer(second.engine, engine_thread)
    sequencer.make_block(START + 4)
    try:
        second.engine.pool.add(execute(replace(message, log_index=1), payload_hash(log)))
    except PoolError as error:
        print(f"chain {SECOND}: a message that was never sent is refused: {error}")
    second.engine.pool.add(execute(message, payload_hash(log)))
    block = sequencer.make_block(START + 6)
    executed = second.blocks.receipts(block.hash)[1]
    print(f"chain {SECOND}: block {block.number} executes the message: status {executed.status}, {len(executed.logs)} log of CrossL2Inbox")

for chain in (first, second):
    chain.close()
