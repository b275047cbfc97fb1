"""What the engine tells the world: new heads and reorgs once they are committed, pooled transactions, a database that fails.

Listeners are called in the writer's thread, so they must hand the event on (to a queue, to an event loop) and return.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from l2engine.types.base import Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NewHead:
    """The canonical chain changed and now ends in `head`."""

    head: Header
    added: tuple[Block, ...]
    """The blocks that became canonical, oldest first."""
    removed: tuple[Block, ...] = ()
    """The blocks that are canonical no longer, newest first; not empty after a reorg."""


@dataclass(frozen=True, slots=True)
class PooledTransaction:
    """The pool took a transaction that could be included now."""

    hash: Hash32
    raw: bytes


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """A write to the database failed: `Engine.recover` must be called until it succeeds."""


@dataclass(frozen=True, slots=True)
class StoreReopened:
    """The engine takes changes again."""


Event: TypeAlias = NewHead | PooledTransaction | StoreFailed | StoreReopened
Listener: TypeAlias = Callable[[Event], None]


class Events:
    """Hands events to listeners in the order of their subscription."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()
        self._lock = threading.Lock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every event from now on; the answer ends the subscription."""
        with self._lock:
            self._listeners = (*self._listeners, listener)

        def unsubscribe() -> None:
            with self._lock:
                self._listeners = tuple(item for item in self._listeners if item is not listener)

        return unsubscribe

    def publish(self, event: Event) -> None:
        """Tell all listeners. One that fails is logged and does not keep the others from hearing."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed")
