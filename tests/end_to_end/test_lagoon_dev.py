"""`l2engine dev` at Lagoon: refunds as web3.py sees them, a fork that begins later, and the stand-ins for messages between chains."""

import time
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.rules.interop_messages import MessageIdentifier, access_list_keys
from tests.helpers.running import RunningNode, l2engine
from tests.lagoon.facts import BUNDLE

needs_bundle = pytest.mark.skipif(not BUNDLE.is_file(), reason=f"no Lagoon bundle at {BUNDLE} (set L2ENGINE_VECTORS)")
SLOT_READER = "0x6004600c60003960046000f3" + "60015450"  # init code of a contract that reads slot 1
INBOX, MESSENGER = (Web3.to_checksum_address("0x42000000000000000000000000000000000000" + last) for last in ("22", "23"))
RICH, OTHER = (Web3.to_checksum_address(account.address) for account in DEV_ACCOUNTS[:2])


@pytest.fixture(scope="module")
def node() -> Any:
    with RunningNode("dev", "--sdm", "warming") as running:
        yield running


@pytest.fixture(scope="module")
def web3(node: RunningNode) -> Web3:
    return Web3(Web3.HTTPProvider(node.http))


def wait(web3: Web3, sent: Any) -> Any:
    return web3.eth.wait_for_transaction_receipt(sent, timeout=60, poll_latency=0.01)


def send_two_in_one_block(web3: Web3, to: str) -> list[Any]:
    """The later one first: it waits for the other, and both may go at once."""
    nonce = web3.eth.get_transaction_count(RICH)
    fees = {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6, "chainId": 901, "gas": 50_000, "to": to}
    sign = web3.eth.account.from_key(DEV_ACCOUNTS[0].private_key).sign_transaction
    raws = [sign({**fees, "nonce": nonce + place}).raw_transaction for place in (1, 0)]
    later, sooner = [web3.eth.send_raw_transaction(raw) for raw in raws]
    return [wait(web3, sooner), wait(web3, later)]


def test_second_reader_of_a_slot_has_a_refund(web3: Web3, node: RunningNode) -> None:
    contract = wait(web3, web3.eth.send_transaction({"from": OTHER, "data": SLOT_READER})).contractAddress
    first, second = send_two_in_one_block(web3, contract)
    assert first.blockNumber == second.blockNumber
    assert "opGasRefund" not in first
    assert int(second.opGasRefund, 16) == 2000
    assert second.gasUsed + 2000 == first.gasUsed
    block = web3.eth.get_block(first.blockNumber, full_transactions=True)
    last = block.transactions[-1]
    assert (last.type, last["from"]) == (0x7D, "0x" + "00" * 20)
    replayed = node.call("debug_replaySDMBlock", hex(first.blockNumber))
    assert replayed["summary"]["payload_refund_total"] == 2000
    assert node.call("admin_sdmStatus") == {"operatorSdmOptIn": True, "protocolActive": True, "effective": True, "activationTime": 0}


def test_refunds_stop_when_the_operator_opts_out(web3: Web3, node: RunningNode) -> None:
    contract = wait(web3, web3.eth.send_transaction({"from": OTHER, "data": SLOT_READER})).contractAddress
    node.call("admin_setOperatorSdmOptIn", False)
    try:
        receipts = send_two_in_one_block(web3, contract)
    finally:
        node.call("admin_setOperatorSdmOptIn", True)
    assert len({receipt.blockNumber for receipt in receipts}) == 1
    assert not any("opGasRefund" in receipt for receipt in receipts)


def selector(signature: str) -> bytes:
    return bytes(Web3.keccak(text=signature)[:4])


def test_message_runs_only_when_the_access_list_names_it(web3: Web3) -> None:
    """A message to OTHER's address, sent by the messenger of chain 902: its log is what relayMessage takes."""
    codec = web3.codec
    sent = Web3.keccak(text="SentMessage(uint256,address,uint256,address,bytes)") + codec.encode(
        ["uint256", "address", "uint256"], [901, OTHER, 7]
    )
    sent += codec.encode(["address", "bytes"], [RICH, b""])
    message = MessageIdentifier(bytes.fromhex(MESSENGER[2:]), 12, 1_800_000_000, 3, 902)
    keys = ["0x" + key.hex() for key in access_list_keys(message, bytes(Web3.keccak(sent)))]
    identifier = (MESSENGER, message.block_number, message.log_index, message.timestamp, message.chain_id)
    data = selector("relayMessage((address,uint256,uint256,uint256,uint256),bytes)") + codec.encode(
        ["(address,uint256,uint256,uint256,uint256)", "bytes"], [identifier, sent]
    )
    call = {"from": RICH, "to": MESSENGER, "data": data, "value": 5, "gas": 300_000}
    refused = wait(web3, web3.eth.send_transaction(call))
    assert refused.status == 0
    before = web3.eth.get_balance(OTHER)
    relayed = wait(web3, web3.eth.send_transaction({**call, "accessList": [{"address": INBOX, "storageKeys": keys}]}))
    assert relayed.status == 1
    assert [log.address for log in relayed.logs] == [INBOX, MESSENGER]
    assert relayed.logs[0].topics[0] == Web3.keccak(text="ExecutingMessage(bytes32,(address,uint256,uint256,uint256,uint256))")
    assert web3.eth.get_balance(OTHER) == before + 5
    again = wait(web3, web3.eth.send_transaction({**call, "accessList": [{"address": INBOX, "storageKeys": keys}]}))
    assert again.status == 0


def test_message_is_sent_with_a_log_and_its_hash(web3: Web3) -> None:
    arguments = web3.codec.encode(["uint256", "address", "bytes"], [902, OTHER, b"hello"])
    call = {"from": RICH, "to": MESSENGER, "data": selector("sendMessage(uint256,address,bytes)") + arguments}
    digest = web3.eth.call(call)
    receipt = wait(web3, web3.eth.send_transaction(call))
    (log,) = receipt.logs
    assert log.topics[0] == Web3.keccak(text="SentMessage(uint256,address,uint256,address,bytes)")
    hashed = web3.codec.encode(["uint256", "uint256", "uint256", "address", "address", "bytes"], [902, 901, 0, RICH, OTHER, b"hello"])
    assert digest == Web3.keccak(hashed)


@needs_bundle
@pytest.mark.parametrize(("chains", "count"), [((), 28), (("--dependency-set", "901,902"), 30)], ids=["alone", "with another"])
def test_fork_begins_later_with_its_bundle(chains: tuple[str, ...], count: int) -> None:
    flags = ("--fork", "karst", "--fork-in", "lagoon=2s", "--upgrade-bundle", str(BUNDLE), "--block-time", "1", *chains)
    with RunningNode("dev", *flags) as running:
        deadline = time.monotonic() + 60
        while int(running.call("eth_blockNumber"), 16) < 5 and time.monotonic() < deadline:
            time.sleep(0.1)
        blocks = [running.call("eth_getBlockByNumber", hex(number), False) for number in range(6)]
        active = running.call("admin_sdmStatus", int(blocks[0]["timestamp"], 16) + 2)
    begun = next(place for place, block in enumerate(blocks) if int(block["timestamp"], 16) >= active["activationTime"])
    assert active["protocolActive"] is True
    assert [len(block["transactions"]) for block in blocks[begun : begun + 2]] == [1 + count, 1]
    limits = [int(block["gasLimit"], 16) - int(blocks[0]["gasLimit"], 16) for block in blocks]
    assert limits == [60_653_172 if place == begun else 0 for place in range(6)]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--fork-in", "lagoon"), "like lagoon=20s"),
        (("--fork-in", "nowhere=2s"), "like lagoon=20s"),
        (("--fork-in", "lagoon=0s"), "whole seconds"),
        (("--fork", "karst", "--fork-in", "jovian=2s"), "karst includes it"),
        (("--upgrade-bundle", "/nowhere/bundle.json"), "jovian has no upgrade bundle"),
        (("--fork", "karst", "--fork-in", "lagoon=9s", "--upgrade-bundle", "/nowhere/bundle.json"), "cannot read upgrade bundle"),
        (("--dependency-set", "x"), "not a number"),
        (("--sdm", "hot"), "invalid choice"),
    ],
)
def test_mistakes_are_told_in_a_line(flags: tuple[str, ...], words: str) -> None:
    done = l2engine("dev", "--http.port=0", "--ws.port=0", "--authrpc.port=0", *flags)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_fork_in_is_for_a_new_chain(tmp_path: Path) -> None:
    with RunningNode("dev", datadir=tmp_path / "data") as running:
        assert running.terminate() == 0
    done = l2engine("dev", f"--datadir={tmp_path / 'data'}", "--fork-in", "lagoon=5s", "--http.port=0", "--ws.port=0", "--authrpc.port=0")
    assert done.returncode != 0
    assert "--override.<fork>" in done.stderr


def test_opt_in_without_a_policy_is_told_in_the_log(tmp_path: Path) -> None:
    with RunningNode("dev", "--rollup.operator-sdm-opt-in=true") as running:
        assert any("--rollup.operator-sdm-opt-in changes nothing" in line["msg"] for line in running.lines)
        assert running.call("admin_sdmStatus")["effective"] is False
