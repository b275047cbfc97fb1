"""All expected errors, named by the input or part at fault, since that decides the answer.

    L2EngineError
    ├── DecodeError            bytes that do not decode as a transaction, header, block, receipt or payload
    ├── InvalidBlock           a block breaks the rules
    │   └── RootMismatch       a field of the header differs from the computed one; carries both values
    ├── InvalidTransaction     a transaction is not valid in this block (the builder skips it, the verifier rejects the block)
    │   └── PoolError          the pool refuses it
    ├── InvalidOverride        a state override of a call that cannot be applied               -32000
    ├── InvalidPayload         an Engine API payload contradicts itself before it is a block (hash, fields of the wrong fork)
    ├── InvalidParams          a malformed argument                                             -32602
    ├── InvalidAttributes      payload attributes that cannot be built                          -38003
    ├── InvalidForkchoice      safe or finalized unknown or off the head's chain                -38002
    ├── UnknownPayload         no such payload id                                               -38001
    ├── UnsupportedFork        a method version that does not fit the payload's fork            -38005
    ├── UnknownFork            a block or attributes of a fork that this build has no rules for -32000
    ├── RequestTooLarge        a request for more than is served at once                        -38004
    ├── ResponseTooLarge       an answer that is larger than is sent at once                    -32003
    ├── ExecutionReverted      a call reverted; carries the revert data                         3
    ├── ExecutionTimeout       a call or build ran past its deadline
    ├── UnknownBlock           no such block
    ├── StateUnavailable       the block is known, its state is no longer (or not yet) kept
    ├── ConfigError            flags, files or genesis that cannot work together; shown to the operator
    │   └── GenesisMismatch    the computed genesis hash is not the expected one
    ├── ExecutorsDisagree      `--evm both`: the two executors came to different results       -32603
    └── StoreError             the database is locked, foreign, newer or damaged
        ├── StoreUnreadable    its files cannot be read: damaged ones, or a failing disk
        ├── StoreUnavailable   it accepts no writes after one failed, or it is closed
        └── JournalUnavailable the pool's journal cannot be written, so that no transaction is accepted

`rpc/errors.py` maps them to JSON-RPC codes. INVALID and SYNCING are answers of the Engine API, not errors.
"""

from typing import Any

from l2engine import refusals


class L2EngineError(Exception):
    """Root of all expected errors."""


class DecodeError(L2EngineError):
    """Bytes that do not decode; the message names the field and the problem."""


class InvalidBlock(L2EngineError):
    """A block that breaks a rule of its fork."""


class RootMismatch(InvalidBlock):
    """A field of the header differs from the value that execution gave."""

    def __init__(self, field: str, expected: object, got: object) -> None:
        self.field, self.expected, self.got = field, expected, got
        super().__init__(f"invalid {field} (remote: {_text(expected)} local: {_text(got)})")


class InvalidTransaction(L2EngineError):
    """A transaction that cannot be included, with the reason and the facts for its message. `str()` gives geth's wording."""

    words = refusals.WORDS

    def __init__(self, reason: refusals.Reason, **facts: int | str | bytes) -> None:
        self.reason, self.facts = reason, facts
        super().__init__(reason, facts)

    def __str__(self) -> str:
        return refusals.in_words(self.reason, self.facts, self.words)


class PoolError(InvalidTransaction):
    """A transaction the pool refuses."""

    words = refusals.POOL_WORDS


class InvalidOverride(L2EngineError):
    """A state override of a call that does not fit the state."""


class InvalidPayload(L2EngineError):
    """An execution payload refused before it is linked to a parent; answered as INVALID with latestValidHash null."""


class InvalidParams(L2EngineError):
    """An argument of the wrong type, range or length."""


class InvalidAttributes(L2EngineError):
    """Payload attributes that cannot be built."""


class InvalidForkchoice(L2EngineError):
    """A forkchoice state that contradicts the chain."""


class UnknownPayload(L2EngineError):
    """No payload with this id is being built."""


class UnsupportedFork(L2EngineError):
    """The method's version does not fit the fork of the payload."""


class UnknownFork(L2EngineError):
    """A block or attributes at or after a fork whose rules this build does not have. They may still be valid."""

    def __init__(self, name: str, time: int | None, block: int | None, advice: str) -> None:
        self.name, self.time, self.block = name, time, block
        begins = f"block {block}" if time is None else f"timestamp {time}"
        super().__init__(f"fork {name}, which begins at {begins}, is not known to this build: {advice}")


class RequestTooLarge(L2EngineError):
    """A request for more than is served at once."""


class ResponseTooLarge(L2EngineError):
    """An answer that is larger than is sent at once."""


class ExecutionReverted(L2EngineError):
    """A call ended in REVERT."""

    def __init__(self, message: str, data: bytes) -> None:
        self.data = data
        super().__init__(message)


class ExecutionTimeout(L2EngineError):
    """A call, trace or transaction ran past its deadline."""


class UnknownBlock(L2EngineError):
    """A block that is not known here."""


class StateUnavailable(L2EngineError):
    """The state of a known block is not kept."""


class ConfigError(L2EngineError):
    """Settings, files or genesis that cannot work."""


class GenesisMismatch(ConfigError):
    """The genesis that was computed is not the one that was expected."""

    def __init__(self, expected: bytes, got: bytes) -> None:
        self.expected, self.got = expected, got
        super().__init__(f"genesis mismatch: expected {_text(expected)}, computed {_text(got)}")


class ExecutorsDisagree(L2EngineError):
    """The native and the reference executor differ, so that neither can be trusted with this block."""

    def __init__(
        self, where: str, native: object, reference: object, transactions: tuple[bytes, ...] = (), executors: tuple[Any, ...] = ()
    ) -> None:
        self.where, self.native, self.reference = where, native, reference
        self.transactions = transactions
        """The transactions of the block that ran, up to and including the first one with different results."""
        self.executors = executors
        """The two executors, to run the block again on each of them alone."""
        super().__init__(f"the executors disagree at {where}: native {_text(native)}, reference {_text(reference)}")


class StoreError(L2EngineError):
    """A database that is locked, foreign, newer than this program or damaged."""


class StoreUnreadable(StoreError):
    """Database files that LevelDB cannot read, or whose checksums fail. Their content is unknown."""


class StoreUnavailable(StoreError):
    """A write failed, for instance on a full disk, and no write is accepted until the database is reopened; or the database is
    closed, or was reopened after the current read began."""


class JournalUnavailable(StoreError):
    """The pool's journal cannot be written, for instance on a full disk: a transaction would not survive a restart."""


def _text(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
