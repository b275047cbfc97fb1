"""--rollup.sequencerhttp: raw transactions go to the sequencer, and whatever it answers is understood or refused in words."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesis.dev.accounts import DEV_ACCOUNTS
from l2engine.chain.journal import Journal
from l2engine.types.base import keccak
from l2engine.types.limits import RpcSettings
from rpc.context import Context
from rpc.jsonrpc import handle
from rpc.ports.forward import forwarder
from rpc.registry import methods_for
from tests.helpers.transactions import transfer
from tests.rpc.chain import at_genesis

RAW = transfer(DEV_ACCOUNTS[0], 0, bytes(20), 1)
NOT_JSON_RPC = {"code": -32000, "message": "the sequencer gave an answer that is not JSON-RPC"}


class Sequencer(HTTPServer):
    """Gives the same answer to everybody and notes what it was asked."""

    status = 200
    answer: Any = None

    def __init__(self) -> None:
        self.asked: list[Any] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Sequencer

    def do_POST(self) -> None:
        self.server.asked.append(orjson.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = self.server.answer if isinstance(self.server.answer, bytes) else orjson.dumps(self.server.answer)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def sequencer() -> Iterator[Sequencer]:
    with Sequencer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def send(context: Context) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": ["0x" + RAW.hex()]}
    answer = orjson.loads(handle(orjson.dumps(request), methods_for(("eth",)), context))
    return answer.get("result", answer.get("error"))


def verifier(sequencer: Sequencer, keep: bool = False) -> Context:
    return replace(at_genesis(), forward=forwarder(f"http://127.0.0.1:{sequencer.server_port}"), settings=RpcSettings(keep_forwarded=keep))


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("answer", [{"result": "0x"}, {"result": None, "error": None}, {"result": "0x" + "ab" * 32}])
def test_what_the_sequencer_took_is_kept_only_on_demand(sequencer: Sequencer, answer: Any, keep: bool) -> None:
    """As in op-geth (--rollup.enabletxpooladmission) and op-reth (--rollup.retain-forwarded-txs)."""
    context = verifier(sequencer, keep)
    sequencer.answer = {"jsonrpc": "2.0", "id": 1, **answer}
    assert send(context) == "0x" + keccak(RAW).hex()
    assert context.pool.get(keccak(RAW)) == (RAW if keep else None)
    (asked,) = sequencer.asked
    assert (asked["method"], asked["params"]) == ("eth_sendRawTransaction", ["0x" + RAW.hex()])


def test_what_the_sequencer_keeps_is_in_no_journal_here(sequencer: Sequencer, tmp_path: Path) -> None:
    context = verifier(sequencer)
    journal = Journal(tmp_path / "journal", bytes(32))
    context.pool.restore(journal)
    sequencer.answer = {"jsonrpc": "2.0", "id": 1, "result": "0x" + keccak(RAW).hex()}
    send(context)
    assert journal.entries() == []
    context.pool.drop(keccak(RAW))
    send(replace(context, forward=None))
    assert [entry.raw for entry in journal.entries()] == [RAW]
    context.pool.close()


def test_its_refusal_comes_back_unchanged(sequencer: Sequencer) -> None:
    context = verifier(sequencer)
    refusal = {"code": -32003, "message": "transaction rejected", "data": {"why": ["x"]}}
    sequencer.answer = {"jsonrpc": "2.0", "id": 1, "error": refusal}
    assert send(context) == refusal
    assert context.pool.status() == (0, 0)


@pytest.mark.parametrize(
    "answer",
    [[], 5, None, {}, {"id": 1}, {"error": "no"}, {"error": {}}, {"error": {"code": "x", "message": "y"}}, {"error": {"code": None}}],
)
def test_what_is_not_json_rpc_is_refused(sequencer: Sequencer, answer: Any) -> None:
    context = verifier(sequencer)
    sequencer.answer = answer
    assert send(context) == NOT_JSON_RPC
    assert context.pool.status() == (0, 0)


def test_other_failures_are_told(sequencer: Sequencer) -> None:
    context = verifier(sequencer)
    sequencer.answer, sequencer.status = b"slow down", 429
    assert send(context) == {"code": -32000, "message": "429 Too Many Requests: slow down"}
    sequencer.answer, sequencer.status = b"<html>", 200
    assert send(context)["message"].startswith("the sequencer cannot be reached: ")
    nobody = replace(at_genesis(), forward=forwarder("http://127.0.0.1:1"))
    assert send(nobody)["message"].startswith("the sequencer cannot be reached: ")
