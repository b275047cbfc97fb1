"""Answers request bodies: chooses the thread for each call, and limits how long a call may wait for it.

Engine calls run one after another on the engine thread, slow reads on a small pool, cheap calls on the event loop itself.
"""

import asyncio
import itertools
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from rpc.context import Context, TimeLimit
from rpc.errors import TIMEOUT
from rpc.jsonrpc import Call, Limits, Method, Methods, Request, RunsOn, join, parse, refusal, run, too_large

LONG_BATCH = 16  # a batch of this many cheap calls is no longer cheap
READERS = 4  # threads for reads, and the same number for contract calls
FORWARDERS = 32  # threads that mostly wait for the sequencer


class Answering:
    """Runs the calls of all ports, on its own threads and on the engine thread."""

    def __init__(self, context: Context, engine_thread: Executor) -> None:
        settings = context.settings
        self._context = context
        self._limits = Limits(settings.batch_request_limit, settings.batch_response_max_bytes)
        self.readers = ThreadPoolExecutor(READERS, thread_name_prefix="rpc-read")
        self._callers = ThreadPoolExecutor(READERS, thread_name_prefix="rpc-call")
        self._forwarders = ThreadPoolExecutor(FORWARDERS, thread_name_prefix="rpc-forward")
        self._threads = {
            RunsOn.READ: self.readers,
            RunsOn.CALL: self._callers,
            RunsOn.ENGINE: engine_thread,
            RunsOn.FORWARD: self._forwarders,
        }

    def stop(self) -> None:
        """Let running calls end and drop the waiting ones."""
        for threads in (self.readers, self._callers, self._forwarders):
            threads.shutdown(wait=False, cancel_futures=True)

    async def answer(self, body: bytes, methods: Methods) -> bytes:
        """The response to a request body."""
        request = parse(body, self._limits)
        if len(request.items) == 1:
            item = request.items[0]
            answers = [item if isinstance(item, bytes) else await self._run_one(item, methods)]
        else:
            answers = await self._run_many(request, methods)
        return join(request, answers, self._limits)

    async def _run_one(self, call: Call, methods: Methods) -> bytes:
        runs_on = _runs_on(call, methods)
        if runs_on is RunsOn.LOOP:
            return run(call, methods, self._context)
        return await asyncio.get_running_loop().run_in_executor(self._threads[runs_on], self._run, call, methods, TimeLimit())

    async def _run_many(self, request: Request, methods: Methods) -> list[bytes]:
        """Answer a batch in order; consecutive calls for the same kind of thread run there together."""
        cheap = RunsOn.READ if len(request.items) > LONG_BATCH else RunsOn.LOOP
        answers: list[bytes] = []
        size, limit, time_limit = 0, self._limits.batch_response_bytes, TimeLimit()
        for runs_on, group in itertools.groupby(request.items, lambda item: _runs_on(item, methods)):
            runs_on = cheap if runs_on is RunsOn.LOOP else runs_on
            work = list(group)
            room = limit - size if limit else None
            if runs_on is RunsOn.LOOP:
                done = self._run_group(work, methods, room, time_limit)
            else:
                done = await asyncio.get_running_loop().run_in_executor(
                    self._threads[runs_on], self._run_group, work, methods, room, time_limit
                )
            answers += done
            size += sum(map(len, done))
        return answers

    def _run_group(self, items: Sequence[Call | bytes], methods: Methods, room: int | None, time_limit: TimeLimit) -> list[bytes]:
        """Run calls in order until the time is over or their answers exceed `room` bytes; the remaining calls are refused
        without being run."""
        answers: list[bytes] = []
        for item in items:
            if isinstance(item, bytes):
                answer = item
            elif room is not None and room < 0:
                answer = too_large(item)
            else:
                answer = self._run(item, methods, time_limit)
            answers.append(answer)
            if room is not None:
                room -= len(answer)
        return answers

    def _run(self, call: Call, methods: Methods, limit: TimeLimit) -> bytes:
        """Run a call, or refuse it if its time limit is over. Calls that change the chain always run."""
        if limit.over and _runs_on(call, methods) is not RunsOn.ENGINE:
            return refusal(call, TIMEOUT, "request timed out")
        return run(call, methods, self._context)


def _runs_on(item: Call | bytes, methods: Methods) -> RunsOn:
    entry: Method | None = None if isinstance(item, bytes) else methods.get(item.method)
    return RunsOn.LOOP if entry is None else entry.runs_on
