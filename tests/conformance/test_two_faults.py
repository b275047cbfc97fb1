"""geth's checks in geth's order and words: executors, payloads, attributes and pool refuse every transaction of
tests/helpers/two_faults.py for what op-geth refused it for."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import pytest

from l2engine.chain.payload import from_block
from l2engine.chain.pool import Pool
from l2engine.chain.process import block_env
from l2engine.conformance.executors import executor_factory
from l2engine.errors import DecodeError, InvalidAttributes, InvalidTransaction
from l2engine.types.state import BlockExecution
from tests.helpers.dev_chain import forkchoice
from tests.helpers.in_process import InProcess
from tests.helpers.two_faults import ANYTHING, CHAINS, Answer, Case, Chain, chain, load, reason

Judgement = tuple[Case, str | None, str | None]
"""A case, what is said to it, and what op-geth said."""

NATIVE = find_spec("l2engine_native") is not None


def refusal(error: Exception) -> str:
    """What an executor's refusal is compared by."""
    return str(error)


# ---- who judges -----------------------------------------------------------------------------------------------------


def executed(evm: str) -> Callable[[Chain], Iterator[Judgement]]:
    """An executor in the midst of a block. A refused transaction leaves the block as it was, so that the next one meets it too."""

    def judge(about: Chain) -> Iterator[Judgement]:
        blocks = {crowded: begin(about, crowded, evm) for crowded in (False, True)}
        for case in about.cases:
            said: str | None = None
            try:
                blocks[case.crowded].apply(case.raw)
            except (InvalidTransaction, DecodeError) as error:
                said = refusal(error)
            else:
                blocks[case.crowded] = begin(about, case.crowded, evm)
            yield case, said, reason(answer(about, case), case)

    return judge


def begin(about: Chain, crowded: bool, evm: str) -> BlockExecution:
    """A block that has its first transactions, and room for a case's."""
    engine = InProcess(about.genesis, evm=evm).engine
    some = about.block(next(case for case in about.cases if case.crowded == crowded))
    execution = executor_factory(evm)(about.config).begin(engine.state.view(engine.head.hash), block_env(some, engine.head))
    for raw in about.before(crowded):
        execution.apply(raw)
    return execution


def in_payload(about: Chain) -> Iterator[Judgement]:
    """The engine's newPayload."""
    engine = InProcess(about.genesis, evm="auto").engine
    for case in about.cases:
        block = about.block(case)
        requests = () if block.header.requests_hash is not None else None
        status = engine.new_payload(from_block(block), case.blob_hashes, block.header.parent_beacon_block_root, requests)
        said = status.validation_error or ""
        wrong_roots = said.startswith("invalid gas used")  # as these blocks have where nothing is refused
        yield case, None if wrong_roots else said, answer(about, case).payload


def in_attributes(about: Chain) -> Iterator[Judgement]:
    """The engine's forkchoiceUpdated with noTxPool."""
    engine = InProcess(about.genesis, evm="auto").engine
    for case in about.cases if about.fork.is_optimism else ():
        said: str | None = None
        try:
            engine.forkchoice_updated(forkchoice(engine.head), about.attributes(case))
        except InvalidAttributes as error:
            said = str(error)
        yield case, said, answer(about, case).forced


def in_pool(about: Chain) -> Iterator[Judgement]:
    """The pool."""
    pool: Pool = InProcess(about.genesis, evm="auto").engine.pool
    for case in about.cases:
        if case.blob_hashes and not about.fork.is_optimism:
            continue  # there is no pool for blobs here
        said: str | None = None
        try:
            pool.add(case.raw)
        except InvalidTransaction as error:
            said = str(error)
        yield case, said, answer(about, case).pool


JUDGES = {
    "reference": executed("py"),
    "native": executed("native"),
    "payload": in_payload,
    "attributes": in_attributes,
    "pool": in_pool,
}


def answer(about: Chain, case: Case) -> Answer:
    """op-geth's."""
    return load()[about.name][case.name]


# ---- the test -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", JUDGES)
@pytest.mark.parametrize("name", CHAINS)
def test_first_fault_is_the_one_that_geth_names(name: str, judge: str) -> None:
    if judge == "native" and not NATIVE:
        pytest.skip("the native core is not installed: `make native` builds it (needs cargo)")
    wrong = [
        f"{case.name}:\n    said {said}\n    geth {wanted}"
        for case, said, wanted in JUDGES[judge](chain(name))
        if said != wanted and not (wanted == ANYTHING and said is not None)
    ]
    assert not wrong, f"{len(wrong)} refusals differ\n" + "\n".join(wrong)


def test_every_transaction_has_its_answers() -> None:
    for name in CHAINS:
        assert set(load()[name]) == set(chain(name).by_name)
