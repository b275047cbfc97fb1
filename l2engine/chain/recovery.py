"""When a write has failed: how often and how long reopening the database is tried before the node gives up."""

import asyncio
import logging
import time
from concurrent.futures import Executor as ThreadExecutor

from l2engine.chain.engine import Engine
from l2engine.errors import L2EngineError

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0  # in which space may come back
ATTEMPTS = 2  # that must have failed, the last of them after that time
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 4.0


async def recover(engine: Engine, engine_thread: ThreadExecutor) -> bool:
    """Whether the engine takes changes again. Within the patience nothing is final, and without room the database is not even
    closed, so that reads go on; afterwards it is reopened come what may."""
    started, failed, pause = time.monotonic(), 0, FIRST_PAUSE_SECONDS
    while True:
        is_late = time.monotonic() - started >= PATIENCE_SECONDS
        try:
            if await asyncio.get_running_loop().run_in_executor(engine_thread, engine.recover, is_late):
                return True
        except L2EngineError as error:
            failed += 1
            log.error("The database could not be reopened", extra={"fields": {"err": error}})
            if is_late and failed >= ATTEMPTS:
                return False
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
