"""Answers request bodies: chooses the thread for each call, and limits how long a call may wait for it.

Engine calls run one after another on the engine thread, slow reads on a small pool, cheap calls on the event loop itself. When a
client leaves, its calls end where they are and those that wait for a thread are forgotten, except on the engine thread: what a
client has sent to change the chain is done even if it does not wait for the answer.
"""

import asyncio
import itertools
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, TypeVar

from l2engine.types.json_text import PLAIN_BYTES, Text
from rpc.context import Context, RequestTime, begin_request
from rpc.errors import TIMEOUT
from rpc.jsonrpc import Call, Limits, Method, Methods, Request, RunsOn, join, parse, refusal, run, too_large

LONG_BATCH = 16  # a batch of this many cheap calls is no longer cheap
READERS = 4  # threads for reads, and the same number for contract calls
TRACERS = 2  # threads for traces: more would only take turns, since Python runs one of them at a time
SENDERS = 2  # threads that compress and uncompress answers
FORWARDERS = 32  # threads that mostly wait for the sequencer
NICENESS = 10  # of all these threads: the engine thread and the event loop go first

T = TypeVar("T")


class Answering:
    """Runs the calls of all ports, on its own threads and on the engine thread."""

    def __init__(self, context: Context, engine_thread: Executor) -> None:
        settings = context.settings
        self._context = context
        self._limits = Limits(settings.batch_request_limit, settings.batch_response_max_bytes)
        self._own = {
            RunsOn.READ: _threads(READERS, "rpc-read"),
            RunsOn.CALL: _threads(READERS, "rpc-call"),
            RunsOn.TRACE: _threads(TRACERS, "rpc-trace"),
            RunsOn.FORWARD: _threads(FORWARDERS, "rpc-forward"),
        }
        self._threads: dict[RunsOn, Executor] = {**self._own, RunsOn.ENGINE: engine_thread}
        self.senders = _threads(SENDERS, "rpc-send")

    def stop(self) -> None:
        """Let running calls end and drop the waiting ones."""
        for threads in (*self._own.values(), self.senders):
            threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, body: bytes, methods: Methods) -> Text:
        """The response to a request body. When this is cancelled, because the client has left, the calls end as well."""
        request = parse(body, self._limits)
        request_time = begin_request()
        try:
            if len(request.items) == 1:
                item = request.items[0]
                answers = [item if isinstance(item, bytes) else await self._run_one(item, methods, request_time)]
            else:
                answers = await self._run_many(request, methods, request_time)
        except asyncio.CancelledError:
            request_time.client_left()
            raise
        if sum(map(len, answers)) > PLAIN_BYTES:
            return await asyncio.get_running_loop().run_in_executor(self.senders, join, request, answers, self._limits)
        return join(request, answers, self._limits)

    async def sending(self, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces of a large answer, each made when it is asked for."""
        while piece := await asyncio.get_running_loop().run_in_executor(self.senders, next, pieces, b""):
            yield piece

    async def _run_one(self, call: Call, methods: Methods, request_time: RequestTime) -> Text:
        runs_on = _runs_on(call, methods)
        if runs_on is RunsOn.LOOP:
            return run(call, methods, self._context)
        return await self._on(runs_on, self._run, call, methods, request_time)

    async def _run_many(self, request: Request, methods: Methods, request_time: RequestTime) -> list[Text]:
        """Answer a batch in order; consecutive calls for the same kind of thread run there together."""
        cheap = RunsOn.READ if len(request.items) > LONG_BATCH else RunsOn.LOOP
        answers: list[Text] = []
        size, limit = 0, self._limits.batch_response_bytes
        for runs_on, group in itertools.groupby(request.items, lambda item: _runs_on(item, methods)):
            runs_on = cheap if runs_on is RunsOn.LOOP else runs_on
            work = list(group)
            room = limit - size if limit else None
            if runs_on is RunsOn.LOOP:
                done = self._run_group(work, methods, room, request_time)
            else:
                done = await self._on(runs_on, self._run_group, work, methods, room, request_time)
            answers += done
            size += sum(map(len, done))
        return answers

    async def _on(self, runs_on: RunsOn, work: Callable[..., T], *arguments: Any) -> T:
        """Run work on a thread of this kind. It is forgotten if this is cancelled before it begins, unless it may change the chain."""
        done = asyncio.get_running_loop().run_in_executor(self._threads[runs_on], work, *arguments)
        return await (asyncio.shield(done) if runs_on is RunsOn.ENGINE else done)

    def _run_group(self, items: Sequence[Call | bytes], methods: Methods, room: int | None, request_time: RequestTime) -> list[Text]:
        """Run calls in order until the time is over or their answers exceed `room` bytes; the remaining calls are refused
        without being run."""
        answers: list[Text] = []
        for item in items:
            if isinstance(item, bytes):
                answer: Text = item
            elif room is not None and room < 0:
                answer = too_large(item)
            else:
                answer = self._run(item, methods, request_time)
            answers.append(answer)
            if room is not None:
                room -= len(answer)
        return answers

    def _run(self, call: Call, methods: Methods, request_time: RequestTime) -> Text:
        """Run a call, or refuse it if its time is over. Calls that change the chain always run."""
        if _runs_on(call, methods) is RunsOn.ENGINE:
            return run(call, methods, self._context)
        if request_time.over:
            return refusal(call, TIMEOUT, "request timed out")
        return run(call, methods, self._context.for_request(request_time))


def _runs_on(item: Call | bytes, methods: Methods) -> RunsOn:
    entry: Method | None = None if isinstance(item, bytes) else methods.get(item.method)
    return RunsOn.LOOP if entry is None else entry.runs_on


def _threads(count: int, name: str) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_go_last)


def _go_last() -> None:
    """Let other threads have the processor first."""
    if sys.platform == "linux":  # elsewhere a thread has no priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
