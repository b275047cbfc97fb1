"""Which thread runs a call, and how long it may wait for one."""

import asyncio
import json
import threading
import time

from l2engine.types.limits import RpcSettings
from rpc.jsonrpc import Method, RunsOn, method
from rpc.ports.answering import READERS
from rpc.registry import methods_for
from tests.rpc.chain import at_genesis
from tests.rpc.ports.serving import CHAIN_ID, port, post, serving


async def test_batches_end_when_their_time_is_over(monkeypatch):
    monkeypatch.setattr("rpc.context.REQUEST_SECONDS", 0.3)
    methods = {"slow": method(lambda context: time.sleep(0.2), runs_on=RunsOn.CALL)}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        batch = [{"jsonrpc": "2.0", "id": i, "method": "slow"} for i in range(50)]
        answers = json.loads((await post(session, url, batch))[1])
    assert [answer["id"] for answer in answers] == list(range(50))
    assert answers[0]["result"] is None
    assert answers[-1]["error"] == {"code": -32002, "message": "request timed out"}


async def test_calls_that_waited_too_long_are_not_run(monkeypatch):
    monkeypatch.setattr("rpc.context.REQUEST_SECONDS", 0.3)
    ran: list[str] = []

    def slow(name: str, runs_on: RunsOn) -> Method:
        return method(lambda context: (ran.append(name), time.sleep(0.2)), runs_on=runs_on)

    methods = {"call": slow("call", RunsOn.CALL), "change": slow("change", RunsOn.ENGINE)}
    async with serving(port(methods=methods)) as (_, session, (url,)):
        calls = [post(session, url, {**CHAIN_ID, "method": name}) for name in ("call",) * 4 * READERS + ("change",) * 4]
        answers = [json.loads(text) for _, text in await asyncio.gather(*calls)]
    late = [answer["error"]["code"] for answer in answers[: 4 * READERS] if "error" in answer]
    assert late == [-32002] * (4 * READERS - ran.count("call"))
    assert late
    assert ran.count("change") == 4


async def test_slow_methods_do_not_hold_up_cheap_ones():
    methods = dict(methods_for(("eth",)))
    done = threading.Event()
    methods["slow_read"] = method(lambda context: done.wait(60), runs_on=RunsOn.READ)
    methods["slow_engine"] = method(lambda context: done.wait(60), runs_on=RunsOn.ENGINE)
    async with serving(port(methods=methods)) as (_, session, (url,)):
        waiting = [asyncio.create_task(post(session, url, {**CHAIN_ID, "method": name})) for name in ("slow_read", "slow_engine")]
        await asyncio.sleep(0.1)
        await post(session, url)
        assert not any(task.done() for task in waiting)
        done.set()
        assert [json.loads(answer)["result"] for _, answer in await asyncio.gather(*waiting)] == [True, True]


async def test_engine_calls_run_one_after_another():
    order: list[str] = []

    def work(context: object) -> None:
        order.append("begin")
        time.sleep(0.05)
        order.append("end")

    async with serving(port(methods={"work": method(work, runs_on=RunsOn.ENGINE)})) as (_, session, (url,)):
        await asyncio.gather(*(post(session, url, {**CHAIN_ID, "method": "work"}) for _ in range(5)))
    assert order == ["begin", "end"] * 5


async def test_batch_response_limit_over_http():
    context = at_genesis(RpcSettings(batch_response_max_bytes=200, batch_request_limit=50))
    async with serving(context=context) as (_, session, (url,)):
        answers = json.loads((await post(session, url, [CHAIN_ID] * 40))[1])
        assert len(answers) == 40
        assert answers[0]["result"] == "0x385"
        assert answers[-1]["error"]["message"] == "response too large"
        assert json.loads((await post(session, url, [CHAIN_ID] * 51))[1])[0]["error"]["message"] == "batch too large"
