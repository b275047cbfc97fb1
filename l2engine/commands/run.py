"""Run a node. A rollup node drives it through the Engine API; HTTP and WebSocket are off until --http and --ws ask for them.

With --genesis FILE (or --network NAME --genesis FILE) an empty data directory is initialised first.
"""

import argparse
import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import TYPE_CHECKING

from genesis.registry import registry
from l2engine import logs, settings
from l2engine.settings import Settings

if TYPE_CHECKING:
    from l2engine.node import Node

log = logging.getLogger(__name__)

START_SECONDS = 3.0  # that a start may go on after a signal; a large genesis takes longer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All settings."""
    settings.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args)
    logs.configure(chosen.log_format, chosen.verbosity)
    _tell_of_sequencer(chosen)

    async def start() -> "Node":
        from l2engine.node import Node

        node = Node(chosen)
        await node.start()
        return node

    return serve(start)


def _tell_of_sequencer(chosen: Settings) -> None:
    """Wallets at a node that forwards nothing would wait for ever."""
    if chosen.network is None or chosen.rollup_sequencerhttp is not None or not (chosen.http or chosen.ws):
        return
    sequencer = registry(chosen.chain_file).find(chosen.network).sequencer
    if sequencer is not None:
        said = "Transactions sent here stay in this node's pool: --rollup.sequencerhttp is not set"
        log.info(said, extra={"fields": {"sequencer": sequencer}})


def serve(start: "Callable[[], Awaitable[Node]]") -> int:
    """Run the node that `start` starts until a signal or its own wish to halt; then stop it. The exit status."""
    import uvloop

    from rpc.ports.connections import raise_file_limit

    raise_file_limit()

    async def main() -> int:
        stop = asyncio.Event()
        _set_on_signals(stop, asyncio.get_running_loop())
        starting, stopping = asyncio.ensure_future(start()), asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            await asyncio.wait([starting], timeout=START_SECONDS)
        if not starting.done():
            log.warning("Start-up is slow; stopping before it finished")
            logging.shutdown()
            os._exit(0)  # nothing is acknowledged yet, and what is written is whole batches
        node = starting.result()
        waits = [stopping, asyncio.create_task(node.halted.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        log.info("Stopping")
        await node.stop()
        log.info("Stopped")
        return node.exit_status

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        status = runner.run(main())
    for number in stop_signals():  # the interpreter brings back the default as it ends, and a late signal would change the exit status
        signal.signal(number, signal.SIG_IGN)
    logging.shutdown()
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        os._exit(status)  # a call is still running; the interpreter would wait for its end
    return status


def stop_signals() -> list[signal.Signals]:
    """The signals that stop a command in order: Ctrl-C, SIGTERM, and the end of the terminal unless `nohup` ignores it."""
    hang_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def _set_on_signals(stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
    """Let signals set `stop`. Not by the loop's own means: when it closes, those bring back the default, by which a second signal
    would kill the process while it cleans up."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(_stop, stop)

    for number in stop_signals():
        signal.signal(number, on_signal)


def _stop(stop: asyncio.Event) -> None:
    if stop.is_set():
        log.warning("Already stopping; another signal does not speed it up")
    stop.set()
