"""Answers of many megabytes over real sockets: whole, zipped, in WebSocket fragments, in batches, and with an error at their end."""

import asyncio
import json
import tracemalloc

import pytest

from l2engine.errors import ExecutionTimeout
from l2engine.types.json_text import JsonText
from rpc.jsonrpc import RunsOn, Written, method
from rpc.ports.answering import READERS
from tests.rpc.ports.serving import CHAIN_ID, JSON, port, post, serving, websocket_port

PLAIN = {**JSON, "Accept-Encoding": "identity"}
ROW = b'{"address":"0x00000000000000000000000000000000000f00d2","topics":[],"data":"0x1234","removed":false}'


def large(megabytes: int, fails: bool = False) -> Written:
    def write(text: JsonText) -> None:
        for index in range(megabytes):
            text.write((b"," if index else b"[") + b",".join([ROW] * 10_000))
        if fails:
            raise ExecutionTimeout("execution timeout")
        text.write(b"]")

    return Written(write)


METHODS = {
    "small": method(lambda context: Written(lambda text: text.write(b"[1]")), runs_on=RunsOn.READ),
    "large": method(lambda context: large(4), runs_on=RunsOn.READ),
    "huge": method(lambda context: large(100), runs_on=RunsOn.READ),
    "fails": method(lambda context: large(4, fails=True), runs_on=RunsOn.READ),
    "cheap": method(lambda context: 1),
}


def request(name: str, identity: int = 1) -> dict[str, object]:
    return {**CHAIN_ID, "method": name, "id": identity}


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_a_large_answer_arrives_whole(encoding):
    async with serving(port(methods=METHODS)) as (_, session, (url,)):
        headers = {**JSON, "Accept-Encoding": encoding}
        async with session.post(url, json=request("large", 7), headers=headers) as response:
            answer = await response.json()
            assert response.headers.get("Content-Encoding", "identity") == encoding
            assert "Transfer-Encoding" not in response.headers
        assert answer["id"] == 7 and answer["result"] == [json.loads(ROW)] * 40_000
        assert json.loads((await post(session, url, request("small")))[1])["result"] == [1]


async def test_a_large_answer_over_a_websocket():
    async with serving(websocket_port(methods=METHODS)) as (_, session, (url,)), session.ws_connect(url, max_msg_size=0) as socket:
        for name in ("large", "cheap"):
            await socket.send_json(request(name))
        answers = [await socket.receive_json(timeout=60) for _ in range(2)]
    assert sorted(len(answer["result"]) if isinstance(answer["result"], list) else 1 for answer in answers) == [1, 40_000]


async def test_an_error_at_the_end_is_the_whole_answer():
    async with serving(port(methods=METHODS)) as (_, session, (url,)):
        answer = json.loads((await post(session, url, request("fails")))[1])
    assert answer == {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "execution timeout"}}


async def test_a_large_answer_in_a_batch():
    async with serving(port(methods=METHODS)) as (_, session, (url,)):
        answers = json.loads(
            (await post(session, url, [request(name, i) for i, name in enumerate(("large", "fails", "cheap", "huge", "cheap"))]))[1]
        )
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3, 4]
    assert len(answers[0]["result"]) == 40_000
    assert answers[1]["error"]["message"] == "execution timeout" and answers[2]["result"] == 1
    assert answers[3]["error"] == answers[4]["error"] == {"code": -32003, "message": "response too large"}


async def test_slow_readers_of_large_answers_take_no_memory_and_no_threads():
    async with serving(port(methods=METHODS)) as (_, session, (url,)):
        tracemalloc.start()
        try:
            waiting = [await session.post(url, json=request("huge"), headers=PLAIN) for _ in range(2 * READERS)]
            assert json.loads((await post(session, url, request("small")))[1])["result"] == [1]
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert all(response.content_length > 100_000_000 for response in waiting)
        assert peak < 100_000_000  # of 800 MB
        for response in waiting:
            response.close()


async def test_a_client_that_leaves_in_the_middle_of_an_answer(caplog):
    async with serving(port(methods=METHODS), websocket_port(methods=METHODS)) as (_, session, (url, ws_url)):
        for _ in range(3):
            response = await session.post(url, json=request("huge"), headers={**PLAIN, "Connection": "close"})
            await response.content.readexactly(100_000)
            response.close()
            socket = await session.ws_connect(ws_url, max_msg_size=0)
            await socket.send_json(request("huge"))
            await asyncio.sleep(0.2)
            await socket.close()
        assert json.loads((await post(session, url, request("small")))[1])["result"] == [1]
    assert not caplog.records
