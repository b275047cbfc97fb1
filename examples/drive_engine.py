"""Be the rollup node: build a block through the Engine API, adopt it, and see it become the head.

    .venv/bin/l2engine dumpgenesis --fork regolith > genesis.json
    .venv/bin/l2engine run --genesis genesis.json --datadir data
    .venv/bin/python examples/drive_engine.py data/jwtsecret

Regolith's attributes are the shortest; later forks want more fields (docs/rpc.md).
"""

import base64
import hashlib
import hmac
import json
import sys
import time
import urllib.request
from pathlib import Path

ENGINE = "http://127.0.0.1:8551"
if len(sys.argv) != 2:
    sys.exit(__doc__)
secret = bytes.fromhex(Path(sys.argv[1]).read_text().strip().removeprefix("0x"))


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def call(method, *params):
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps({"iat": int(time.time())}).encode())
    token = (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    answer = json.load(urllib.request.urlopen(urllib.request.Request(ENGINE, body, headers)))
    return answer["result"] if "result" in answer else sys.exit(f"{method}: {answer['error']}")


head = call("eth_getBlockByNumber", "latest", False)
zero = "0x" + "00" * 32
state = {"headBlockHash": head["hash"], "safeBlockHash": zero, "finalizedBlockHash": zero}
attributes = {
    "timestamp": hex(int(head["timestamp"], 16) + 2),
    "prevRandao": zero,
    "suggestedFeeRecipient": "0x4200000000000000000000000000000000000011",
    "transactions": [],
    "noTxPool": True,
    "gasLimit": "0x1c9c380",
}
started = call("engine_forkchoiceUpdatedV2", state, attributes)
payload = call("engine_getPayloadV2", started["payloadId"])["executionPayload"]
print("newPayload:", call("engine_newPayloadV2", payload)["status"])
state["headBlockHash"] = payload["blockHash"]
print("forkchoice:", call("engine_forkchoiceUpdatedV2", state, None)["payloadStatus"]["status"])
print("head:", int(call("eth_blockNumber"), 16), payload["blockHash"])
