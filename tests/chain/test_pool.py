"""The pool's admission rules, order and life across heads, over a state that the test holds in a dictionary."""

from dataclasses import dataclass, field, replace

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from l2engine.chain.events import Event, Events, Origin, PooledTransaction
from l2engine.chain.pool import Pool
from l2engine.errors import PoolError
from l2engine.rules import fees
from l2engine.rules.config import ChainConfig, chain_config
from l2engine.rules.l1_attributes import from_storage
from l2engine.rules.predeploys import L1_BLOCK
from l2engine.types.base import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_ROOT, Address, Hash32, keccak
from l2engine.types.block import Block
from l2engine.types.header import Header
from l2engine.types.limits import PoolSettings
from l2engine.types.signature import SECP256K1_N
from l2engine.types.state import Account
from tests.helpers.accounts import Signer, signer

FORKS = ("regolith", "canyon", "ecotone", "fjord", "granite", "holocene", "isthmus", "jovian", "karst", "lagoon")
ETHER = 10**18
BASE_FEE = 10**9


def config(fork: str) -> ChainConfig:
    active = FORKS[: FORKS.index(fork) + 1]
    return chain_config(
        {"chainId": 901, "bedrockBlock": 0, "optimism": {}}
        | {name + "Time": 0 for name in active}
        | {"optimism": {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}}
    )


HEAD = Header(
    bytes(32), EMPTY_OMMERS_HASH, bytes(20), EMPTY_ROOT, EMPTY_ROOT, EMPTY_ROOT, EMPTY_BLOOM, 0, 1, 30_000_000, 5_000_000, 1000,
    bytes.fromhex("01000000fa000000060000000000000000"), bytes(32), bytes(8), BASE_FEE, EMPTY_ROOT, 0, 0, bytes(32), bytes(32),
)  # fmt: skip


def head(fork: str) -> Header:
    """A head with the extraData of a fork."""
    length = {"holocene": 9, "isthmus": 9, "jovian": 17, "karst": 17, "lagoon": 17}.get(fork, 0)
    version = b"\1" if length == 17 else b"\0"
    return replace(HEAD, extra_data=(version + HEAD.extra_data[1:])[:length])


@dataclass
class State:
    """A state to look at."""

    accounts: dict[Address, Account] = field(default_factory=dict)
    slots: dict[tuple[Address, int], int] = field(default_factory=dict)

    def account(self, address: Address) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: Address, slot: int) -> int:
        return self.slots.get((address, slot), 0)

    def code(self, code_hash: Hash32) -> bytes:
        return b""

    def block_hash(self, number: int) -> Hash32 | None:
        return None


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def alice() -> Signer:
    return signer("alice")


def pool_with(*signers: Signer, fork: str = "jovian", balance: int = ETHER, settings: PoolSettings | None = None) -> tuple[Pool, State]:
    state = State({who.address: Account(0, balance) for who in signers})
    pool = Pool(config(fork), settings)
    pool.reset(head(fork), state)
    return pool, state


def test_executable_transactions_are_pending_and_gapped_ones_queued(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    pool.add(alice.sign(nonce=0))
    pool.add(alice.sign(nonce=2))
    assert pool.status() == (1, 1)
    assert pool.next_nonce(alice.address) == 1
    pool.add(alice.sign(nonce=1))
    assert pool.status() == (3, 0)
    assert pool.next_nonce(alice.address) == 3


def test_same_transaction_is_already_known(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    raw = alice.sign()
    pool.add(raw)
    with pytest.raises(PoolError, match=r"^already known$"):
        pool.add(raw)


def test_used_nonce_is_too_low(alice: Signer) -> None:
    pool, state = pool_with(alice)
    state.accounts[alice.address] = Account(5, ETHER)
    with pytest.raises(PoolError, match="nonce too low: next nonce 5, tx nonce 4"):
        pool.add(alice.sign(nonce=4))


def test_replacement_must_pay_ten_percent_more(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    pool.add(alice.sign(nonce=0, max_fee=1000 * BASE_FEE, tip=1000))
    with pytest.raises(PoolError, match="replacement transaction underpriced"):
        pool.add(alice.sign(nonce=0, max_fee=1099 * BASE_FEE, tip=1100))
    better = pool.add(alice.sign(nonce=0, max_fee=1100 * BASE_FEE, tip=1100))
    assert pool.hashes() == [better]


@pytest.mark.parametrize("fork", ["regolith", "ecotone", "fjord", "isthmus", "jovian"])
def test_balance_must_cover_l1_and_operator_fee(alice: Signer, fork: str) -> None:
    pool, state = pool_with(alice, fork=fork)
    slots = {1: 10**9, 3: (1368 << 96) | (810_949 << 64), 5: 188, 6: 684_000, 7: 10**7, 8: (500 << 64) | 77}
    state.slots = {(L1_BLOCK, slot): value for slot, value in slots.items()}
    pool.reset(head(fork), state)
    raw = alice.sign(value=1)
    row = config(fork).fork_at(2, 1001)
    l1 = from_storage(lambda slot: slots.get(slot, 0))
    extra = fees.l1_fee(row, raw, l1).fee + fees.operator_fee(row, 21_000, l1)
    assert extra > 0
    cost = 21_000 * 10**10 + 1 + extra
    state.accounts[alice.address] = Account(0, cost - 1)
    pool.reset(head(fork), state)
    with pytest.raises(PoolError, match=f"insufficient funds for gas \\* price \\+ value: balance {cost - 1}, tx cost {cost}, overshot 1"):
        pool.add(raw)
    state.accounts[alice.address] = Account(0, cost)
    pool.reset(head(fork), state)
    pool.add(raw)


def test_balance_must_cover_all_earlier_transactions(alice: Signer) -> None:
    pool, _ = pool_with(alice, balance=3 * 21_000 * 10**10)
    for nonce in range(3):
        pool.add(alice.sign(nonce=nonce))
    with pytest.raises(PoolError, match="insufficient funds"):
        pool.add(alice.sign(nonce=3))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gas": 20_999}, "intrinsic gas too low: gas 20999, minimum needed 21000"),
        ({"gas": 30_000_000}, "exceeds block gas limit"),
        ({"tip": 2 * 10**10}, "max priority fee per gas higher than max fee per gas$"),
        ({"tip": 0}, "transaction gas price below minimum"),
        ({"data": b"\1" * 1000, "gas": 37_100}, "insufficient gas for floor data gas cost: gas 37100, minimum needed 61000"),
        ({"nonce": 2**64 - 1}, "nonce has max value"),
        ({"data": bytes(49_153), "gas": 10_000_000}, "max initcode size exceeded"),
    ],
)
def test_refused_in_geths_words(alice: Signer, changes: dict[str, int], message: str) -> None:
    pool, _ = pool_with(alice)
    to = {"to": None} if "initcode" in message else {}
    with pytest.raises(PoolError, match=message):
        pool.add(alice.sign(**to, **changes))  # type: ignore[arg-type]


def test_other_chains_signature_is_refused() -> None:
    stranger = signer("alice", chain_id=10)
    pool, _ = pool_with(stranger)
    with pytest.raises(PoolError, match=r"^invalid sender: invalid chain id for signer: have 10 want 901$"):
        pool.add(stranger.sign())


def test_what_is_too_large_is_not_even_decoded(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    with pytest.raises(PoolError, match=r"^oversized data: transaction size 131073, limit 131072$"):
        pool.add(bytes(131_073))


def test_signatures_of_nobody_are_refused(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    fields = rlp.decode(alice.sign()[1:])
    for r, s in ((fields[10], SECP256K1_N - int.from_bytes(fields[11], "big")), (b"", fields[11]), (b"\xff" * 32, fields[11])):
        with pytest.raises(PoolError, match=r"^invalid sender: invalid transaction v, r, s values$"):
            pool.add(b"\x02" + rlp.encode([*fields[:10], r, s]))


def test_karst_caps_a_transactions_gas(alice: Signer) -> None:
    pool, _ = pool_with(alice, fork="karst")
    with pytest.raises(PoolError, match="gas limit too high"):
        pool.add(alice.sign(to=bytes(20), gas=2**24 + 1))
    pool.add(alice.sign(to=bytes(20), gas=2**24, nonce=0))


def test_deposits_and_garbage_never_enter(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    deposit = bytes.fromhex("7ef83ca0") + bytes(32) + b"\x94" + bytes(20) + b"\x80\x80\x80\x82\x52\x08\x80\x80"
    with pytest.raises(PoolError):
        pool.add(deposit)
    for garbage in (b"", b"\x02", b"\x05\xc0", b"\xc0", alice.sign() + b"\0"):
        with pytest.raises(PoolError):
            pool.add(garbage)
    assert pool.status() == (0, 0)


def test_best_tips_come_first_each_sender_in_order() -> None:
    a, b = signer("a"), signer("b")
    pool, _ = pool_with(a, b)
    order = [
        pool.add(b.sign(tip=50)),
        pool.add(a.sign(tip=10)),
        pool.add(a.sign(tip=90)),
        pool.add(b.sign(tip=5)),
    ]
    assert [item.hash for item in pool.best(BASE_FEE)] == [order[0], order[1], order[2], order[3]]


def test_skipped_sender_is_left_out() -> None:
    a, b = signer("a"), signer("b")
    pool, _ = pool_with(a, b)
    pool.add(a.sign(tip=90))
    pool.add(a.sign(tip=90))
    rest = pool.add(b.sign(tip=5))
    best = pool.best(BASE_FEE)
    next(best)
    best.skip_sender()
    assert [item.hash for item in best] == [rest]


def test_transactions_below_the_base_fee_wait(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    pool.add(alice.sign(max_fee=BASE_FEE - 1))
    assert list(pool.best(BASE_FEE)) == []
    assert len(list(pool.best(BASE_FEE - 10**6 - 1))) == 1


def test_new_head_drops_included_and_reorg_brings_them_back(alice: Signer) -> None:
    pool, state = pool_with(alice)
    raw = alice.sign()
    pool.add(raw)
    included = Block(HEAD, (raw,), (), ())
    state.accounts[alice.address] = Account(1, ETHER)
    pool.reset(HEAD, state, (), (included,))
    assert pool.status() == (0, 0)
    state.accounts[alice.address] = Account(0, ETHER)
    pool.reset(replace(HEAD, number=2), state, (included,), ())
    assert pool.hashes() == [keccak(raw)]


def test_queued_transactions_expire_and_pending_ones_stay(alice: Signer) -> None:
    clock = Clock()
    state = State({alice.address: Account(0, ETHER)})
    pool = Pool(config("jovian"), PoolSettings(lifetime_seconds=100), now=clock)
    pool.reset(HEAD, state)
    pending = pool.add(alice.sign(nonce=0))
    pool.add(alice.sign(nonce=5))
    clock.now += 101
    pool.reset(HEAD, state)
    assert pool.hashes() == [pending]


def test_full_pool_takes_only_better_payers() -> None:
    signers = [signer(f"s{i}") for i in range(5)]
    pool, _ = pool_with(*signers, settings=PoolSettings(global_slots=2, global_queue=1))
    for who, tip in zip(signers, (10, 20, 30), strict=False):
        pool.add(who.sign(tip=tip))
    with pytest.raises(PoolError, match="transaction underpriced"):
        pool.add(signers[3].sign(tip=10))
    pool.add(signers[4].sign(tip=40))
    assert [item.tip(BASE_FEE) for item in pool.best(BASE_FEE)] == [40, 30, 20]


def test_pending_transactions_are_announced(alice: Signer) -> None:
    events, seen = Events(), []
    state = State({alice.address: Account(0, ETHER)})
    pool = Pool(config("jovian"), events=events)
    pool.reset(HEAD, state)

    def listen(event: Event) -> None:
        seen.append(event)

    unsubscribe = events.subscribe(listen)
    raw = alice.sign(nonce=0)
    pool.add(raw)
    pool.add(alice.sign(nonce=7))
    assert seen == [PooledTransaction(keccak(raw), raw)]
    unsubscribe()
    pool.add(alice.sign(nonce=1))
    assert len(seen) == 1


def test_filled_gap_announces_what_it_freed(alice: Signer) -> None:
    events, seen = Events(), []
    pool = Pool(config("jovian"), events=events)
    pool.reset(HEAD, State({alice.address: Account(0, ETHER)}))
    events.subscribe(lambda event: seen.append(event.hash if isinstance(event, PooledTransaction) else None))
    waiting = [pool.add(alice.sign(nonce=1)), pool.add(alice.sign(nonce=2))]
    assert not seen
    first = pool.add(alice.sign(nonce=0))
    assert seen == [first, *waiting]


def test_what_a_reorg_brings_back_is_announced(alice: Signer) -> None:
    events, seen = Events(), []
    pool = Pool(config("jovian"), events=events)
    state = State({alice.address: Account(0, ETHER)})
    raw = alice.sign()
    events.subscribe(seen.append)
    pool.reset(HEAD, state, (Block(HEAD, (raw,), (), ()),), ())
    assert seen == [PooledTransaction(keccak(raw), raw, Origin.CHAIN)]


def test_transactions_that_became_unpayable_are_dropped(alice: Signer) -> None:
    pool, state = pool_with(alice)
    small = pool.add(alice.sign(nonce=0))
    pool.add(alice.sign(nonce=1, value=ETHER // 2))
    last = pool.add(alice.sign(nonce=2))
    state.accounts[alice.address] = Account(0, ETHER // 4)
    pool.reset(HEAD, state)
    assert pool.hashes() == [small, last]
    assert pool.status() == (1, 1)


def test_gas_above_a_lower_block_limit_is_dropped(alice: Signer) -> None:
    pool, state = pool_with(alice)
    pool.add(alice.sign(gas=20_000_000))
    pool.reset(replace(HEAD, gas_limit=10_000_000), state)
    assert pool.hashes() == []


def test_a_sender_may_queue_no_more_than_its_share(alice: Signer) -> None:
    pool, _ = pool_with(alice, settings=PoolSettings(account_queue=2))
    for nonce in range(5):
        pool.add(alice.sign(nonce=nonce))
    pool.add(alice.sign(nonce=10))
    pool.add(alice.sign(nonce=11))
    with pytest.raises(PoolError, match="account limit exceeded"):
        pool.add(alice.sign(nonce=12))
    pool.add(alice.sign(nonce=5))
    assert pool.status() == (6, 2)


def test_full_queue_gives_up_what_waits_longest() -> None:
    clock, signers = Clock(), [signer(f"q{i}") for i in range(3)]
    pool = Pool(config("jovian"), PoolSettings(global_queue=2), now=clock)
    pool.reset(HEAD, State({who.address: Account(0, ETHER) for who in signers}))
    hashes = []
    for who in signers:
        clock.now += 1
        hashes.append(pool.add(who.sign(nonce=3)))
    assert pool.hashes() == hashes[1:]


def test_greedy_senders_give_way_to_modest_ones() -> None:
    greedy, modest = signer("greedy"), signer("modest")
    pool, _ = pool_with(greedy, modest, settings=PoolSettings(account_slots=2, global_slots=3, global_queue=1))
    hashes = [pool.add(greedy.sign(tip=1000)) for _ in range(4)]
    cheap = pool.add(modest.sign(tip=1))
    assert pool.hashes() == [*hashes[:3], cheap]
    with pytest.raises(PoolError, match="transaction underpriced"):
        pool.add(greedy.sign(tip=10**9, nonce=3))


def test_refused_transactions_leave_nothing_behind() -> None:
    pool, _ = pool_with()
    for index in range(20):
        with pytest.raises(PoolError, match="insufficient funds"):
            pool.add(signer(f"poor{index}").sign())
    assert not pool._senders


@given(steps=st.lists(st.tuples(st.sampled_from(["add", "drop", "include", "rewind"]), st.integers(0, 6)), max_size=40))
def test_pending_is_always_the_unbroken_run_from_the_accounts_nonce(steps: list[tuple[str, int]]) -> None:
    """Any order of adding, dropping, including and reorganising, against a model that is a set of nonces."""
    who = signer("walker")
    pool, state = pool_with(who)
    raws = {nonce: who.sign(nonce=nonce) for nonce in range(7)}
    nonce, model = 0, set()
    for action, n in steps:
        if action == "add" and n >= nonce and n not in model:
            pool.add(raws[n])
            model.add(n)
        elif action == "drop":
            assert pool.drop(keccak(raws[n])) == (n in model)
            model.discard(n)
        elif action in ("include", "rewind"):
            nonce = max(nonce, n) if action == "include" else min(nonce, n)
            model = {m for m in model if m >= nonce}
            state.accounts[who.address] = Account(nonce, ETHER)
            pool.reset(HEAD, state)
        end = nonce
        while end in model:
            end += 1
        assert pool.next_nonce(who.address) == end
        assert pool.status() == (end - nonce, len(model) - (end - nonce))
        assert [item.tx.nonce for item in pool.best(BASE_FEE)] == list(range(nonce, end))


def test_a_dev_chains_pool_refuses_what_the_next_base_fee_excludes(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    waiting = pool.add(alice.sign(nonce=0, max_fee=1, tip=1))  # geth's pool lets it wait
    pool.refuses_below_base_fee = True
    with pytest.raises(PoolError, match=r"^max fee per gas less than block base fee$"):
        pool.add(alice.sign(nonce=1, max_fee=BASE_FEE - BASE_FEE // 10, tip=1))
    pool.add(alice.sign(nonce=1, max_fee=BASE_FEE, tip=1))
    assert pool.is_pending(waiting)


def test_pending_is_what_could_be_included_now(alice: Signer) -> None:
    pool, _ = pool_with(alice)
    later, first = (pool.add(alice.sign(nonce=nonce)) for nonce in (2, 0))
    assert (pool.is_pending(first), pool.is_pending(later), pool.is_pending(bytes(32))) == (True, False, False)
    second = pool.add(alice.sign(nonce=1))
    assert pool.is_pending(second) and pool.is_pending(later)
