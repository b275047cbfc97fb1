"""How `l2engine dev` makes blocks: the receipt is there when the hash is, blocks do not run ahead of the clock, and tools can ask."""

import json
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from tests.helpers.running import RunningNode, l2engine, send
from tests.helpers.transactions import transfer

RICH, OTHER = ("0x" + account.address.hex() for account in DEV_ACCOUNTS[:2])


@pytest.fixture(scope="module")
def node():
    with RunningNode("dev") as running:
        yield running


def number_of(node: RunningNode, tag: str = "latest") -> int:
    return int(node.call("eth_getBlockByNumber", tag, False)["number"], 16)


def test_a_new_chain_has_all_labels():
    with RunningNode("dev", "--block-time", "1000") as fresh:
        assert [number_of(fresh, tag) for tag in ("safe", "finalized", "latest")] == [0, 0, 0]
        assert fresh.call("hardhat_getAutomine") is False


def test_the_receipt_is_there_when_the_hash_is(node):
    """Case dev-receipt-after-send: anvil has 40 of 40."""
    fields = {"from": RICH, "to": OTHER, "value": "0x1", "gas": "0x5208"}
    receipts = [node.call("eth_getTransactionReceipt", node.call("eth_sendTransaction", fields)) for _ in range(40)]
    assert all(receipts)
    raws = ["0x" + transfer(DEV_ACCOUNTS[2], nonce, DEV_ACCOUNTS[1].address, 1).hex() for nonce in range(40)]
    assert all(node.call("eth_getTransactionReceipt", node.call("eth_sendRawTransaction", raw)) for raw in raws)


def test_a_batch_of_transactions_is_mined_when_it_is_answered(node):
    raws = ["0x" + transfer(DEV_ACCOUNTS[3], nonce, DEV_ACCOUNTS[1].address, 1).hex() for nonce in range(10)]
    calls = [{"jsonrpc": "2.0", "id": i, "method": "eth_sendRawTransaction", "params": [raw]} for i, raw in enumerate(raws)]
    request = urllib.request.Request(node.http, json.dumps(calls).encode(), {"Content-Type": "application/json"})
    hashes = [answer["result"] for answer in json.loads(urllib.request.urlopen(request, timeout=60).read())]
    assert all(node.call("eth_getTransactionReceipt", tx_hash) for tx_hash in hashes)


def test_those_sent_together_are_all_mined_in_fewer_blocks(node):
    before = number_of(node)

    def one(account):
        return node.call("eth_getTransactionReceipt", node.call("eth_sendRawTransaction", "0x" + transfer(account, 0, bytes(20), 1).hex()))

    raws = [transfer(DEV_ACCOUNTS[4], nonce, bytes(20), 1) for nonce in (3, 2, 1)]
    waiting = [node.call("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]  # a nonce is missing: answered at once
    assert [node.call("eth_getTransactionReceipt", tx_hash) for tx_hash in waiting] == [None] * 3
    assert number_of(node) == before
    receipt = one(DEV_ACCOUNTS[4])
    assert {node.call("eth_getTransactionReceipt", tx_hash)["blockNumber"] for tx_hash in waiting} == {receipt["blockNumber"]}
    with ThreadPoolExecutor(4) as senders:
        assert all(senders.map(one, DEV_ACCOUNTS[5:9]))


def test_a_fee_cap_below_the_base_fee_is_refused_in_anvils_words(node):
    fields = {"from": RICH, "to": OTHER, "value": "0x1", "gas": "0x5208"}
    for fees in ({"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x1"}, {"gasPrice": "0x1"}):
        error = send(node.http, "eth_sendTransaction", [fields | fees])["error"]
        assert error["message"] == "max fee per gas less than block base fee"
    assert node.call("txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_tools_learn_that_a_transaction_makes_a_block(node):
    assert node.call("hardhat_getAutomine") is True


def ahead(node: RunningNode, account: int, count: int = 30) -> int:
    """The seconds that the head is ahead of the clock after `count` blocks."""
    for nonce in range(count):
        node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[account], nonce, DEV_ACCOUNTS[1].address, 1).hex())
    return int(node.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16) - int(time.time())


def test_blocks_do_not_run_ahead_of_the_clock(node):
    assert ahead(node, 9) <= 0


def test_strict_timestamps_rise_with_every_block():
    with RunningNode("dev", "--block-timestamps", "strict") as strict:
        assert ahead(strict, 9) > 5
        times = [int(strict.call("eth_getBlockByNumber", hex(number), False)["timestamp"], 16) for number in range(10)]
        assert len(set(times)) == 10


def test_a_chain_with_shared_timestamps_is_kept_checked_and_imported(tmp_path):
    genesis, chain, data = tmp_path / "genesis.json", tmp_path / "chain.rlp", tmp_path / "data"
    genesis.write_text(l2engine("dumpgenesis", "--block-timestamps", "shared").stdout)
    with RunningNode("dev", "--genesis", genesis, datadir=data) as node:
        assert ahead(node, 2, 8) <= 0
        head = node.call("eth_getBlockByNumber", "latest", False)
        witness = node.call("debug_executionWitness", "latest")
        witness |= {"config": json.loads(genesis.read_text())["config"], "block": node.call("debug_getRawBlock", "latest")}
        assert node.terminate() == 0
    with RunningNode("dev", datadir=data) as node:  # the rule is the database's
        assert ahead(node, 3, 8) <= 0
        assert node.terminate() == 0
    refused = l2engine("dev", "--block-timestamps=strict", "--datadir", data, "--authrpc.port=0", "--http.port=0", "--ws.port=0")
    assert refused.returncode == 1 and "says shared, and keeps it" in refused.stderr
    assert l2engine("db", "verify", "--datadir", data).returncode == 0
    assert l2engine("export", "--datadir", data, chain).returncode == 0
    for evm in ("py", "auto"):
        copy = tmp_path / evm
        assert l2engine("import", f"--evm={evm}", "--datadir", copy, "--genesis", genesis, chain).returncode == 0
        with RunningNode("run", datadir=copy) as node:
            assert number_of(node) == 16
            assert node.call("eth_getBlockByNumber", head["number"], False)["hash"] == head["hash"]
    (tmp_path / "witness.json").write_text(json.dumps(witness))
    assert l2engine("replay", tmp_path / "witness.json").returncode == 0
    refuses(tmp_path, genesis, chain)


def refuses(tmp_path: Path, genesis: Path, chain: Path) -> None:
    """Without the rule, the same file ends at the first block that has its parent's timestamp."""
    document = json.loads(genesis.read_text())
    del document["config"]["l2engine"]
    genesis.write_text(json.dumps(document))
    failed = l2engine("import", "--datadir", tmp_path / "strict", "--genesis", genesis, chain)
    assert failed.returncode == 1 and "invalid timestamp" in failed.stderr
