"""The events that the engine publishes: blocks and heads once they are committed, pooled transactions, ancestors that are missing, a database
that fails.

Listeners are called in the writer's thread, so they must hand the event on (to a queue, to an event loop) and return. A listener
picks the kinds that it knows with `isinstance`: a new kind concerns nobody else.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from l2engine.types.base import Hash32
from l2engine.types.block import Block
from l2engine.types.header import Header

log = logging.getLogger(__name__)


class Event:
    """Something that has happened; the kinds are subclasses."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class BlockImported(Event):
    """A block is executed and stored. The head has not moved yet."""

    block: Block
    seconds: float
    """From the payload's arrival until the block was stored."""
    stages: Mapping[str, float]
    """Those seconds by stage, in order: decode, validate, execute, roots, store. A block that was built here has only the first and
    the last."""


@dataclass(frozen=True, slots=True)
class AncestorsWanted(Event):
    """A payload or a forkchoice leads to a block whose ancestors are not here; it is answered with SYNCING."""

    head: Hash32
    header: Header | None = None
    """The block's, when its payload has come: its parent is missing then, otherwise the block itself."""


@dataclass(frozen=True, slots=True)
class NewHead(Event):
    """The canonical chain changed and now ends in `head`."""

    head: Header
    added: tuple[Block, ...]
    """The blocks that became canonical, oldest first."""
    removed: tuple[Block, ...] = ()
    """The blocks that are no longer canonical, newest first; not empty after a reorg."""


class Origin(StrEnum):
    """The source of a pooled transaction."""

    LOCAL = "local"
    """This node's RPC, or the program around the engine."""
    FORWARDED = "forwarded"
    """This node's RPC, but the sequencer has accepted it and keeps it."""
    PEER = "peer"
    CHAIN = "chain"
    """A block that a reorg has taken off the canonical chain."""


@dataclass(frozen=True, slots=True)
class PooledTransaction(Event):
    """The pool took a transaction that could be included now."""

    hash: Hash32
    raw: bytes
    origin: Origin = Origin.LOCAL


@dataclass(frozen=True, slots=True)
class StoreFailed(Event):
    """A write to the database failed: `Engine.recover` must be called until it succeeds."""


@dataclass(frozen=True, slots=True)
class StoreReopened(Event):
    """The engine takes changes again."""


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
        """Call all listeners. A listener that fails is logged, and the others are still called."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed")
