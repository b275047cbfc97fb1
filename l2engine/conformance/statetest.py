"""State tests of ethereum/tests and execution-spec-tests: one transaction on a given state, and the root and logs after it.

A file holds tests by name; each test's `post` holds, by fork name, outcomes that pick one of the listed data, gas limits
and values. Blocks around the transaction do not exist: no reward, no withdrawals, no requests.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn

from l2engine.conformance.world import World, from_hex, to_int
from l2engine.errors import ConfigError, DecodeError, ExecutorsDisagree, InvalidTransaction
from l2engine.evm.executor import Executor
from l2engine.rules import forks
from l2engine.rules.config import Activation, ChainConfig
from l2engine.rules.forks import BlobSchedule, Fork, L1Rules
from l2engine.types import rlp
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_ROOT, ZERO_ADDRESS, ZERO_HASH, Address, Hash32, keccak
from l2engine.types.delegation import Authorization
from l2engine.types.environment import BlockEnv
from l2engine.types.header import Header
from l2engine.types.receipt import Log
from l2engine.types.state import Account, AccountDiff, StateDiff
from l2engine.types.tracing import Tracer
from l2engine.types.transaction import AccessListTransaction, BlobTransaction, FeeMarketTransaction, LegacyTransaction, SetCodeTransaction
from l2engine.types.transaction_codec import decode_transaction, signed

FORKS: dict[str, Fork] = {
    "Frontier": forks.FRONTIER,
    "Homestead": forks.HOMESTEAD,
    "EIP150": forks.TANGERINE_WHISTLE,
    "EIP158": forks.SPURIOUS_DRAGON,
    "Byzantium": forks.BYZANTIUM,
    "Constantinople": forks.CONSTANTINOPLE,
    "ConstantinopleFix": forks.PETERSBURG,
    "Istanbul": forks.ISTANBUL,
    "Berlin": forks.BERLIN,
    "London": forks.LONDON,
    "ArrowGlacier": forks.ARROW_GLACIER,
    "GrayGlacier": forks.GRAY_GLACIER,
    "Paris": forks.PARIS,
    "Merge": forks.PARIS,
    "Shanghai": forks.SHANGHAI,
    "Cancun": forks.CANCUN,
    "Prague": forks.PRAGUE,
    "Osaka": forks.OSAKA,
}
"""The suites' names of the forks."""
_SOME_KEY = bytes(31) + b"\x01"


@dataclass(frozen=True, slots=True)
class StateTest:
    """One outcome of one test: what runs and what must come out."""

    name: str
    fork_name: str
    config: ChainConfig
    env: BlockEnv
    world: World
    """The state before."""
    raw: bytes
    """The signed transaction as the file gives it, or built from its fields where it does not."""
    built: bytes | None
    """The transaction signed by us; None where its fields are none that could be signed."""
    sender: Address | None
    """The sender, where the file gives neither a key nor the signed transaction; None where the signature tells it."""
    state_root: Hash32
    logs_hash: Hash32
    expect_exception: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """One case of a file: a state test of one fork, or a blockchain test. It is read when it runs, for it may be malformed."""

    name: str
    fork: str
    load: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went."""

    name: str
    fork: str
    passed: bool
    state_root: Hash32 | None = None
    error: str | None = None
    """The difference, or why the transaction was refused."""

    def to_json(self) -> dict[str, Any]:
        """The record that geth's `evm statetest` prints."""
        record: dict[str, Any] = {"name": self.name, "fork": self.fork, "pass": self.passed}
        if self.state_root is not None:
            record["stateRoot"] = "0x" + self.state_root.hex()
        if self.error is not None:
            record["error"] = self.error
        return record


def fork_named(name: str) -> str:
    """The suites' spelling of a fork's name; `ConfigError` for a name that they do not have."""
    for known in FORKS:
        if known.lower() == name.lower():
            return known
    raise ConfigError(f"unknown fork {name!r}; the suites know {', '.join(FORKS)}")


def read(document: Mapping[str, Any], fork: str | None = None) -> Iterator[StateTest]:
    """The cases in one test file, optionally of one fork name only. `DecodeError` for a file of another kind."""
    return (case.load() for case in cases(document, fork))


def cases(document: Mapping[str, Any], fork: str | None = None) -> Iterator[Case]:
    """The cases in one test file before they are read. `DecodeError` for a file of another kind; an entry of another kind among state
    tests is a case that cannot be read."""
    if document and not any(map(_is_state_test, document.values())):
        raise DecodeError(f"{next(iter(document))!r} is not a state test")
    for name, test in document.items():
        if not _is_state_test(test):
            yield Case(name, "", partial(_refuse, f"{name!r} is not a state test"))
            continue
        for fork_name, outcomes in test["post"].items():
            if fork is None or fork_name == fork:
                for outcome in outcomes if isinstance(outcomes, list) else [outcomes]:
                    yield Case(name, fork_name, partial(_case, name, test, fork_name, outcome))


def _is_state_test(test: Any) -> bool:
    return isinstance(test, dict) and isinstance(test.get("post"), dict)


def _refuse(words: str) -> NoReturn:
    raise DecodeError(words)


def run(test: StateTest, executor: Callable[[ChainConfig], Executor], tracer: Tracer | None = None) -> Outcome:
    """Execute one case and compare; never raises for what a test may contain."""
    try:
        return _run(test, executor, tracer)
    except ExecutorsDisagree as error:
        return Outcome(test.name, test.fork_name, False, None, str(error))


def _run(test: StateTest, executor: Callable[[ChainConfig], Executor], tracer: Tracer | None) -> Outcome:
    world = test.world
    execution = executor(test.config).begin(world, test.env, lambda diff: ZERO_HASH)  # the receipts are not used
    refused: str | None = None
    logs: tuple[Log, ...] = ()
    try:
        result = execution.apply(test.raw, test.sender, tracer=tracer)
        logs = result.receipt.logs
    except (InvalidTransaction, DecodeError) as error:
        refused = str(error) or type(error).__name__
    world = world.after(execution.finish().diff)
    if refused is None:
        world = _touch_coinbase(world, test)
    return Outcome(test.name, test.fork_name, *_judge(test, world.root, _logs_hash(logs), refused))


def _judge(test: StateTest, root: Hash32, logs_hash: Hash32, refused: str | None) -> tuple[bool, Hash32, str | None]:
    if test.expect_exception is not None and refused is None:
        return False, root, f"transaction must be refused: {test.expect_exception}"
    if test.expect_exception is None and refused is not None:
        return False, root, f"transaction refused: {refused}"
    if root != test.state_root:
        return False, root, f"post state root mismatch: got {root.hex()}, want {test.state_root.hex()}"
    if logs_hash != test.logs_hash:
        return False, root, f"post state logs hash mismatch: got {logs_hash.hex()}, want {test.logs_hash.hex()}"
    if test.built is not None and test.built != test.raw:
        return False, root, f"signed transaction differs: got {test.built.hex()}, want {test.raw.hex()}"
    return True, root, refused


def _logs_hash(logs: Iterable[Log]) -> Hash32:
    return keccak(rlp.encode([[log.address, list(log.topics), log.data] for log in logs]))


def _touch_coinbase(world: World, test: StateTest) -> World:
    """A reward of nothing: the tests were made with one, so that a missing beneficiary exists before EIP-161 and an empty one is gone after."""
    account = world.account(test.env.beneficiary)
    removes_empty = test.config.fork_at(test.env.number, test.env.timestamp).has(L1Rules.SPURIOUS_DRAGON)
    if account is None and not removes_empty:
        return world.after(StateDiff({test.env.beneficiary: AccountDiff(Account())}, {}))
    if account is not None and account.is_empty and removes_empty:
        return world.after(StateDiff({test.env.beneficiary: AccountDiff(None)}, {}))
    return world


# ---- reading --------------------------------------------------------------------------------------------------------


def _case(name: str, test: Mapping[str, Any], fork_name: str, outcome: Mapping[str, Any]) -> StateTest:
    known = FORKS[fork_named(fork_name)]
    fork = known.then(known.name, block_reward=0)
    schedule = test.get("config", {}).get("blobSchedule", {}).get(fork_name)
    if schedule is not None:
        fork = replace(
            fork, blobs=BlobSchedule(to_int(schedule["target"]), to_int(schedule["max"]), to_int(schedule["baseFeeUpdateFraction"]))
        )
    chain_id = to_int(test.get("config", {}).get("chainid", "0x1"))
    raw, built, sender = _transaction(test["transaction"], outcome, chain_id)
    return StateTest(
        name=name,
        fork_name=fork_name,
        config=ChainConfig(chain_id, (Activation(fork, block=0),), terminal_total_difficulty=0 if fork.has(L1Rules.PARIS) else None),
        env=_env(test["env"], fork),
        world=World.from_json(test["pre"], lambda number: keccak(str(number).encode())),
        raw=raw,
        built=built,
        sender=sender,
        state_root=from_hex(outcome["hash"]),
        logs_hash=from_hex(outcome["logs"]),
        expect_exception=outcome.get("expectException"),
    )


def _env(env: Mapping[str, Any], fork: Fork) -> BlockEnv:
    number, merged = to_int(env["currentNumber"]), fork.has(L1Rules.PARIS)
    base_fee = to_int(env.get("currentBaseFee", "0x0a")) if fork.has(L1Rules.LONDON) else None
    excess_blob_gas = to_int(env.get("currentExcessBlobGas", "0x0")) if fork.has(L1Rules.CANCUN) else None
    difficulty = to_int(env.get("currentDifficulty", "0x0"))
    return BlockEnv(
        number=number,
        timestamp=to_int(env["currentTimestamp"]),
        gas_limit=to_int(env["currentGasLimit"]),
        beneficiary=from_hex(env["currentCoinbase"]),
        prev_randao=from_hex(env.get("currentRandom", hex(difficulty))).rjust(32, b"\0") if merged else ZERO_HASH,
        base_fee_per_gas=base_fee,
        parent=_parent(number),
        excess_blob_gas=excess_blob_gas,
        difficulty=0 if merged else difficulty,
    )


def _parent(number: int) -> Header:
    """State tests have no chain; this serves where a parent is asked for."""
    return Header(
        ZERO_HASH, EMPTY_OMMERS_HASH, ZERO_ADDRESS, EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, bytes(256), 0,
        max(0, number - 1), 0, 0, 0, b"", ZERO_HASH, bytes(8),
    )  # fmt: skip


# ---- signing --------------------------------------------------------------------------------------------------------


def _transaction(tx: Mapping[str, Any], outcome: Mapping[str, Any], chain_id: int) -> tuple[bytes, bytes | None, Address | None]:
    """What runs, what we sign of the fields to compare it with, and the sender where no signature tells it.

    evmone's files have a sender and no key: somebody else's signature does then, since the sender is given.
    """
    key, indexes = from_hex(tx.get("secretKey") or "0x"), outcome["indexes"]
    if "txbytes" in outcome:
        given = from_hex(outcome["txbytes"])
        protected = _is_protected(given)
        built = _sign(tx, indexes, chain_id, protected, key) if key and protected is not None else None
        return given, built, None
    built = _sign(tx, indexes, chain_id, True, key or _SOME_KEY)
    if built is None:
        raise DecodeError("no transaction bytes, and fields that cannot be signed")
    return (built, built, None) if key else (built, None, from_hex(tx["sender"]))


def _is_protected(raw: bytes) -> bool | None:
    """Whether a legacy transaction is bound to its chain (EIP-155), as suites' own often are not; None when it does not decode."""
    try:
        tx = decode_transaction(raw)
    except DecodeError:
        return None
    return not isinstance(tx, LegacyTransaction) or tx.chain_id is not None


def _sign(tx: Mapping[str, Any], indexes: Mapping[str, int], chain_id: int, protected: bool, key: bytes) -> bytes | None:
    """The transaction of these indexes, signed; None when a field does not fit its type."""
    data = from_hex(tx["data"][indexes["data"]])
    try:
        gas, value = to_int(tx["gasLimit"][indexes["gas"]]), to_int(tx["value"][indexes["value"]])
    except ValueError:
        return None  # the suites write numbers beyond 256 bits as text like 0x:bigint …
    nonce, to = to_int(tx["nonce"]), from_hex(tx["to"])
    entries = tx["accessLists"][indexes["data"]] if "accessLists" in tx else None
    access = tuple((from_hex(entry["address"]), tuple(from_hex(slot) for slot in entry["storageKeys"])) for entry in entries or ())
    if "maxFeePerGas" not in tx:
        price = to_int(tx["gasPrice"])
        if entries is None:  # a list of null makes this outcome a legacy transaction
            v = 35 + 2 * chain_id if protected else 27
            return signed(LegacyTransaction(nonce, price, gas, to or None, value, data, v), key).raw
        return signed(AccessListTransaction(chain_id, nonce, price, gas, to or None, value, data, access), key).raw
    head = chain_id, nonce, to_int(tx["maxPriorityFeePerGas"]), to_int(tx["maxFeePerGas"]), gas
    if "authorizationList" in tx:
        delegations = tuple(_authorization(item) for item in tx["authorizationList"])
        return signed(SetCodeTransaction(*head, to, value, data, access, delegations), key).raw
    if "blobVersionedHashes" in tx:
        blobs = to_int(tx["maxFeePerBlobGas"]), tuple(from_hex(item) for item in tx["blobVersionedHashes"])
        return signed(BlobTransaction(*head, to, value, data, access, *blobs), key).raw
    return signed(FeeMarketTransaction(*head, to or None, value, data, access), key).raw


def _authorization(item: Mapping[str, Any]) -> Authorization:
    nonce, y_parity, r, s = (to_int(item[name]) for name in ("nonce", "v", "r", "s"))
    return Authorization(to_int(item["chainId"]), from_hex(item["address"]), nonce, y_parity, r, s)
