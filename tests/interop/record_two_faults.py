"""Ask op-geth about every transaction of tests/helpers/two_faults.py and write its answers to two_faults.json.

    python -m tests.interop.record_two_faults PATH/TO/op-geth

Each chain gets a fresh node. A transaction goes to the pool through eth_sendRawTransaction, to execution in a payload whose
block is right but for it, and, on OP chains, into a block through payload attributes with noTxPool.
"""

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from l2engine.types.base import keccak
from l2engine.types.payload import ExecutionPayload
from tests.helpers.op_geth_answers import ANSWERS, CRASHED, Answer, group
from tests.helpers.rollup_node import attributes_json
from tests.helpers.running import send, token
from tests.helpers.two_faults import CHAINS, Case, Chain, chain

_ACCEPTED = "invalid gas used"
"""The reason for which such a block is refused when its transaction is right."""


class OpGeth:
    """A fresh node on a chain's genesis; leave the `with` block to stop it."""

    def __init__(self, binary: str, genesis: dict[str, Any]) -> None:
        self.binary, self.genesis = binary, genesis
        self.start()

    def start(self) -> None:
        """Start over on the genesis."""
        binary, genesis = self.binary, self.genesis
        self.folder = Path(tempfile.mkdtemp(prefix="two-faults-"))
        (self.folder / "genesis.json").write_text(json.dumps(genesis))
        self.jwt = self.folder / "jwt.hex"
        self.jwt.write_text(keccak(b"jwt").hex())
        data = ["--datadir", str(self.folder / "data")]
        subprocess.run([binary, "init", *data, "--state.scheme", "path", self.folder / "genesis.json"], check=True, capture_output=True)
        http, engine, p2p = _free_ports(3)
        flags = f"""--networkid 901 --state.scheme path --syncmode full --http --http.addr 127.0.0.1 --http.port {http} --http.api eth,txpool
            --authrpc.addr 127.0.0.1 --authrpc.port {engine} --authrpc.jwtsecret {self.jwt} --ipcdisable --nodiscover --maxpeers 0
            --port {p2p} --nat none --rollup.disabletxpoolgossip --txpool.pricelimit 1 --txpool.nolocals --rpc.txfeecap 0
            --rpc.allow-unprotected-txs --verbosity 2"""
        self.log = (self.folder / "log").open("w")
        self.process = subprocess.Popen([binary, *data, *flags.split()], stdout=self.log, stderr=subprocess.STDOUT)
        self.http, self.engine = (f"http://127.0.0.1:{port}" for port in (http, engine))
        self._wait()

    def __enter__(self) -> "OpGeth":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process, if it still runs, and forget its data."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def call(self, method: str, *params: Any) -> dict[str, Any]:
        """The whole answer. A panic may also end the process, now or a little later: then it starts over, and the request is
        made once more; one that ends it again counts as crashed."""
        for _ in range(2):
            try:
                answer = self._send(method, *params)
                if answer.get("error", {}).get("message") != CRASHED:
                    return answer
                time.sleep(0.1)
                if self.process.poll() is None:
                    return answer
            except OSError:
                pass
            self.stop()
            self.start()
        return {"error": {"message": CRASHED}}

    def _send(self, method: str, *params: Any) -> dict[str, Any]:
        if method.startswith("engine_"):
            return send(self.engine, method, params, token(self.jwt))
        return send(self.http, method, params)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self._send("eth_chainId")
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError((self.folder / "log").read_text()[-3000:])


def record(node: OpGeth, about: Chain) -> dict[str, Answer]:
    """The node's answer to each case, by name."""
    return {case.name: Answer(pool(node, case), payload(node, about, case), forced(node, about, case)) for case in about.cases}


def pool(node: OpGeth, case: Case) -> str | None:
    """The pool's refusal."""
    answer = node.call("eth_sendRawTransaction", "0x" + case.raw.hex())
    if "error" not in answer:
        return None
    assert answer["error"]["code"] == -32000, answer
    return str(answer["error"]["message"])


def payload(node: OpGeth, about: Chain, case: Case) -> str | None:
    """Why the payload is invalid."""
    block = about.block(case)
    version = 3 if about.name == "holocene" else 4
    requests: list[Any] = [[]] if version == 4 else []
    hashes = ["0x" + item.hex() for item in case.blob_hashes]
    beacon_root = "0x" + (block.header.parent_beacon_block_root or b"").hex()
    answer = node.call(f"engine_newPayloadV{version}", payload_json(about.payload(case)), hashes, beacon_root, *requests)
    if "error" in answer:
        assert answer["error"]["message"] == CRASHED, (case.name, answer)
        return CRASHED
    status = answer["result"]
    assert status["status"] == "INVALID", (case.name, answer)
    text = str(status["validationError"])
    return None if text.startswith(_ACCEPTED) else text


def forced(node: OpGeth, about: Chain, case: Case) -> str | None:
    """Why attributes with the transaction cannot be built; None also on Ethereum, whose attributes have no transactions."""
    if not about.fork.is_optimism:
        return None
    genesis = node.call("eth_getBlockByNumber", "0x0", False)["result"]["hash"]
    state = dict.fromkeys(("headBlockHash", "safeBlockHash", "finalizedBlockHash"), genesis)
    answer = node.call("engine_forkchoiceUpdatedV3", state, attributes_json(about.attributes(case)))
    if "error" not in answer:
        assert answer["result"]["payloadId"], (case.name, answer)
        return None
    error = answer["error"]
    if error["message"] == CRASHED:
        return CRASHED
    assert error["code"] == -38003, (case.name, answer)
    return str(error["data"]["err"])


def payload_json(plain: ExecutionPayload) -> dict[str, Any]:
    """A payload as newPayload takes it."""
    found = {
        "parentHash": plain.parent_hash,
        "feeRecipient": plain.fee_recipient,
        "stateRoot": plain.state_root,
        "receiptsRoot": plain.receipts_root,
        "logsBloom": plain.logs_bloom,
        "prevRandao": plain.prev_randao,
        "blockNumber": plain.block_number,
        "gasLimit": plain.gas_limit,
        "gasUsed": plain.gas_used,
        "timestamp": plain.timestamp,
        "extraData": plain.extra_data,
        "baseFeePerGas": plain.base_fee_per_gas,
        "blockHash": plain.block_hash,
        "transactions": list(plain.transactions),
        "withdrawals": [],
        "blobGasUsed": plain.blob_gas_used,
        "excessBlobGas": plain.excess_blob_gas,
        "withdrawalsRoot": plain.withdrawals_root,
    }
    return {name: _hex(value) for name, value in found.items() if value is not None}


def _hex(value: Any) -> Any:
    if isinstance(value, list):
        return [_hex(item) for item in value]
    return "0x" + value.hex() if isinstance(value, bytes) else hex(value)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for item in sockets:
        item.bind(("127.0.0.1", 0))
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def main(binary: str) -> None:
    answers = {}
    for name in CHAINS:
        about = chain(name)
        with OpGeth(binary, about.genesis) as node:
            answers[name] = record(node, about)
        print(f"{name}: {len(answers[name])} transactions", flush=True)
    ANSWERS.write_text(group(answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
