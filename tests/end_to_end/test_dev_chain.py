"""`l2engine dev` as a dApp developer uses it: web3.py over HTTP and WebSocket, for every fork."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import aiohttp
import pytest
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractLogicError, Web3RPCError

import genesis.dev
from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.evm.native import machine as native
from l2engine.rules.forks import OP_FORKS
from tests.helpers.running import ROOT, RunningNode, l2engine, send
from tests.helpers.transactions import transfer

CODE = json.loads((Path(genesis.dev.__file__).parent / "contracts.json").read_text())["code"]
L1_BLOCK, ORACLE, MESSAGE_PASSER, FEE_VAULT = (
    Web3.to_checksum_address("0x42000000000000000000000000000000000000" + last) for last in ("15", "0F", "16", "11")
)
WETH_ABI = [
    {"type": "function", "name": "deposit", "inputs": [], "outputs": [], "stateMutability": "payable"},
    {
        "type": "function",
        "name": "balanceOf",
        "inputs": [{"name": "", "type": "address"}],
        "outputs": [{"name": "", "type": "uint256"}],
        "stateMutability": "view",
    },
    {
        "type": "event",
        "name": "Deposit",
        "anonymous": False,
        "inputs": [{"name": "dst", "type": "address", "indexed": True}, {"name": "wad", "type": "uint256", "indexed": False}],
    },
]
needs_native = pytest.mark.skipif(not native.available(), reason="the native core is not installed")
RICH, OTHER = (Web3.to_checksum_address(account.address) for account in DEV_ACCOUNTS[:2])


def creation_code(runtime: str) -> str:
    """Init code that returns `runtime`: PUSH2 length DUP1 PUSH1 10 0 CODECOPY 0 RETURN."""
    return f"0x61{(len(runtime) - 2) // 2:04x}80600a3d393df3{runtime[2:]}"


def pay(web3: Web3, **fields):
    """Sign with the first account, send, wait; the receipt."""
    account = web3.eth.account.from_key(DEV_ACCOUNTS[0].private_key)
    transaction = {"from": RICH, "nonce": web3.eth.get_transaction_count(RICH, "pending"), "chainId": 901, "value": 0, **fields}
    transaction |= {"maxFeePerGas": 3 * 10**9, "maxPriorityFeePerGas": 10**6}
    transaction.setdefault("gas", web3.eth.estimate_gas(transaction))
    sent = web3.eth.send_raw_transaction(account.sign_transaction(transaction).raw_transaction)
    return web3.eth.wait_for_transaction_receipt(sent, timeout=60, poll_latency=0.01)


@pytest.fixture(scope="module")
def node():
    with RunningNode("dev") as running:
        yield running


@pytest.fixture(scope="module")
def web3(node):
    return Web3(Web3.HTTPProvider(node.http))


def test_ether_is_sent_and_mined_at_once(web3):
    before = web3.eth.get_balance(OTHER)
    receipt = pay(web3, to=OTHER, value=10**18)
    assert (receipt.status, receipt.type, receipt.gasUsed) == (1, 2, 21000)
    assert int(receipt.l1Fee, 16) > 0
    assert web3.eth.get_balance(OTHER) == before + 10**18
    block = web3.eth.get_block(receipt.blockNumber, full_transactions=True)
    assert [transaction.type for transaction in block.transactions] == [0x7E, 2]


def test_a_contract_is_deployed_and_its_logs_are_found(web3):
    deployed = pay(web3, data=creation_code(CODE["WETH9"]))
    contract = web3.eth.contract(deployed.contractAddress, abi=WETH_ABI)
    receipt = pay(web3, to=deployed.contractAddress, value=123, data=contract.encode_abi("deposit"))
    assert contract.functions.balanceOf(RICH).call() == 123
    (log,) = contract.events.Deposit().get_logs(from_block=deployed.blockNumber)
    assert (log.args.dst, log.args.wad, log.transactionHash) == (RICH, 123, receipt.transactionHash)


def test_accounts_and_balances_of_the_mnemonic(web3):
    assert web3.eth.accounts == [Web3.to_checksum_address(account.address) for account in DEV_ACCOUNTS]
    assert web3.eth.get_balance(web3.eth.accounts[7]) == 10_000 * 10**18


def test_the_node_signs_for_the_dev_accounts(web3):
    sent = web3.eth.send_transaction({"from": OTHER, "to": RICH, "value": 1})
    assert web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01)["from"] == OTHER
    deployed = web3.eth.contract(abi=WETH_ABI, bytecode=creation_code(CODE["WETH9"])).constructor().transact({"from": OTHER})
    weth = web3.eth.contract(web3.eth.wait_for_transaction_receipt(deployed, poll_latency=0.01).contractAddress, abi=WETH_ABI)
    web3.eth.wait_for_transaction_receipt(weth.functions.deposit().transact({"from": OTHER, "value": 9}), poll_latency=0.01)
    assert weth.functions.balanceOf(OTHER).call() == 9


def test_a_withdrawal_enters_the_withdrawals_root(web3):
    receipt = pay(web3, to=MESSAGE_PASSER, value=5)
    (log,) = receipt.logs
    assert log.topics[0] == Web3.keccak(text="MessagePassed(uint256,address,address,uint256,uint256,bytes,bytes32)")
    block = web3.eth.get_block(receipt.blockNumber)
    proof = web3.eth.get_proof(MESSAGE_PASSER, [0], receipt.blockNumber)
    assert block.withdrawalsRoot == proof.storageHash


def test_vaults_collect_and_pay_out(web3):
    collected = web3.eth.get_balance(FEE_VAULT)
    assert collected > 0
    recipient = web3.eth.accounts[-1]
    before = web3.eth.get_balance(recipient)
    pay(web3, to=FEE_VAULT, data=Web3.keccak(text="withdraw()")[:4])
    assert web3.eth.get_balance(recipient) >= before + collected


def test_safe_and_finalized_follow(web3):
    for _ in range(20):
        pay(web3, to=OTHER, value=1, gas=21000)
    latest, safe, finalized = (web3.eth.get_block(tag).number for tag in ("latest", "safe", "finalized"))
    assert latest > safe > finalized > 0


def test_engine_api_is_open_beside(node):
    head = node.call("eth_getBlockByNumber", "latest", False)["hash"]
    state = {"headBlockHash": head, "safeBlockHash": "0x" + "00" * 32, "finalizedBlockHash": "0x" + "00" * 32}
    assert node.engine_call("engine_forkchoiceUpdatedV3", state, None)["payloadStatus"]["status"] == "VALID"


def test_what_a_wallet_asks_before_it_sends(node, web3):
    """MetaMask's requests when it adds the network and when a user confirms a transfer."""
    assert node.call("eth_chainId") == hex(901)
    assert node.call("net_version") == "901"
    assert node.call("web3_clientVersion").startswith("l2engine/v")
    assert node.call("eth_syncing") is False
    assert "baseFeePerGas" in node.call("eth_getBlockByNumber", "latest", False)
    assert int(node.call("eth_getBalance", RICH, "pending"), 16) > 0
    history = node.call("eth_feeHistory", "0x5", "latest", [10, 20, 30])
    assert len(history["baseFeePerGas"]) == len(history["gasUsedRatio"]) + 1 and all(len(row) == 3 for row in history["reward"])
    tip, price = (int(node.call(method), 16) for method in ("eth_maxPriorityFeePerGas", "eth_gasPrice"))
    assert price >= int(history["baseFeePerGas"][-1], 16) and 0 < tip <= price
    assert node.call("eth_getCode", OTHER, "latest") == "0x"  # no contract: 21,000 gas will do
    assert node.call("eth_estimateGas", {"from": RICH, "to": OTHER, "value": hex(10**18)}) == hex(21_000)
    nonce = int(node.call("eth_getTransactionCount", RICH, "pending"), 16)
    transaction = {"type": 2, "chainId": 901, "nonce": nonce, "to": OTHER, "value": 10**18, "gas": 21_000}
    transaction |= {"maxFeePerGas": 2 * price, "maxPriorityFeePerGas": tip}
    signed = web3.eth.account.sign_transaction(transaction, DEV_ACCOUNTS[0].private_key)
    sent = node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex())
    assert web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.01).status == 1
    assert node.call("eth_getTransactionByHash", sent)["from"] == RICH.lower()


@pytest.mark.parametrize("where", ["README.md", "examples/first_steps.py", "examples/contract_logs.py"])
def test_what_the_reader_is_told_to_try_works(where, node, capsys):
    text = (ROOT / where).read_text()
    code = text.partition("```python\n")[2].partition("```")[0] if where == "README.md" else text
    assert "http://127.0.0.1:8545" in code
    exec(compile(code.replace("http://127.0.0.1:8545", node.http), where, "exec"), {"__file__": str(ROOT / where)})
    assert capsys.readouterr().out.startswith("block ")


@pytest.mark.skipif(not all(map(shutil.which, ("bash", "curl", "jq", "openssl"))), reason="bash, curl, jq or openssl is not installed")
def test_the_requests_in_the_rpc_page_are_answered(node):
    ask, engine = (ROOT / "docs/rpc.md").read_text().partition("## Requests to try")[2].split("```\n")[1:4:2]
    script = ask.replace("http://127.0.0.1:8545", node.http) + engine.replace("http://127.0.0.1:8551", node.engine)
    assert node.http in script and node.engine in script and "PATH/TO/jwtsecret" in script
    script = script.replace("PATH/TO/jwtsecret", str(node.jwt_file)).replace("jq .result", "jq -c .result")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=120, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(answers) == script.count("\nask ") + 1  # a line each: the assignment of HASH prints none, the Engine port's one
    assert None not in answers
    assert "engine_newPayloadV4" in answers[-1]["result"]


def test_what_fails_says_why(web3):
    with pytest.raises(ContractLogicError, match="execution reverted"):
        web3.eth.estimate_gas({"from": RICH, "to": MESSAGE_PASSER, "data": "0xdeadbeef"})
    account = web3.eth.account.from_key(DEV_ACCOUNTS[0].private_key)
    poor = {"chainId": 901, "nonce": 0, "to": OTHER, "value": 0, "gas": 21_000, "gasPrice": 10**10}
    with pytest.raises(Web3RPCError, match="nonce too low"):
        web3.eth.send_raw_transaction(account.sign_transaction(poor).raw_transaction)


async def test_web3_subscribes_to_heads_and_logs_over_websocket(node, web3):
    deployed = pay(web3, data=creation_code(CODE["WETH9"])).contractAddress
    async with AsyncWeb3(WebSocketProvider(node.ws)) as socket:
        heads = await socket.eth.subscribe("newHeads")
        logs = await socket.eth.subscribe("logs", {"address": deployed})
        receipt = pay(web3, to=deployed, value=7)
        got = {}
        async for message in socket.socket.process_subscriptions():
            got[message["subscription"]] = message["result"]
            if len(got) == 2:
                break
    assert got[heads].number == receipt.blockNumber and got[heads].hash == receipt.blockHash
    assert (got[logs].transactionHash, int(got[logs].data.hex(), 16)) == (receipt.transactionHash, 7)


async def test_new_heads_come_over_websocket(node, web3):
    async with aiohttp.ClientSession() as session, session.ws_connect(node.ws) as socket:
        await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["newHeads"]})
        subscription = (await socket.receive_json(timeout=60))["result"]
        receipt = pay(web3, to=OTHER, value=1)
        message = await socket.receive_json(timeout=60)
        assert message["params"]["subscription"] == subscription
        assert int(message["params"]["result"]["number"], 16) == receipt.blockNumber


@pytest.mark.parametrize("fork", [fork.name for fork in OP_FORKS])
def test_every_fork_mines_and_knows_l1(fork):
    with RunningNode("dev", "--fork", fork) as node:
        web3 = Web3(Web3.HTTPProvider(node.http))
        receipt = pay(web3, to=OTHER, value=10**18)
        assert receipt.status == 1 and int(receipt.l1Fee, 16) > 0
        assert node.ready["fork"] == fork

        def read(contract: str, signature: str) -> int:
            return int(node.call("eth_call", {"to": contract, "data": "0x" + Web3.keccak(text=signature)[:4].hex()}, "latest"), 16)

        assert read(L1_BLOCK, "basefee()") == read(ORACLE, "l1BaseFee()") == 10**9
        assert read(L1_BLOCK, "timestamp()") == web3.eth.get_block("latest").timestamp
        assert read(L1_BLOCK, "sequenceNumber()") == 1
        assert node.terminate() == 0


def test_blocks_by_the_clock_and_a_restart_in_a_data_directory(tmp_path):
    with RunningNode("dev", "--block-time", "1", datadir=tmp_path) as node:
        deadline = time.monotonic() + 60
        while int(node.call("eth_blockNumber"), 16) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        kept = node.call("eth_getBlockByNumber", "0x2", False)
        assert kept is not None
        assert node.terminate() == 0
    assert l2engine("db", "verify", "--datadir", tmp_path).returncode == 0
    with RunningNode("dev", datadir=tmp_path) as node:
        assert node.call("eth_getBlockByNumber", "0x2", False) == kept
    refused = l2engine("dev", "--fork", "canyon", "--datadir", tmp_path, "--authrpc.port=0", "--http.port=0", "--ws.port=0")
    assert refused.returncode == 1 and "begins with jovian" in refused.stderr


def test_idle_is_cheap(node):
    """Under 150 MB and 1% CPU (measured over two seconds, with room for a busy machine)."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    resident = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert resident < 150 * 1024
    before = cpu_ticks(node.process.pid)
    time.sleep(2)
    assert cpu_ticks(node.process.pid) - before <= 4  # of 10 ms


@pytest.mark.parametrize(("evm", "seconds"), [("py", 4), pytest.param("native", 1, marks=needs_native)])
def test_ready_and_mining_are_quick(evm, seconds):
    """Ready in 4 s (native: 1 s), a transaction in 50 ms. Processor time, since neighbours lengthen the other."""
    with RunningNode("dev", f"--evm={evm}") as node:
        started = cpu_ticks(node.process.pid)
        assert started < 100 * seconds  # of 10 ms
        for nonce in range(20):
            sent = node.call("eth_sendRawTransaction", "0x" + transfer(DEV_ACCOUNTS[0], nonce, DEV_ACCOUNTS[1].address, 1).hex())
            while node.call("eth_getTransactionReceipt", sent) is None:
                time.sleep(0.002)
        assert cpu_ticks(node.process.pid) - started < 20 * 5


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_unknown_methods_answer_as_geth_does(node):
    error = send(node.http, "eth_nope")["error"]
    assert error["code"] == -32601 and "does not exist/is not available" in error["message"]
