"""geth's checks in geth's order and words: executors, payloads, attributes and pool refuse every transaction of
tests/helpers/two_faults.py for what op-geth refused it for."""

from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec

import pytest

from l2engine.chain.process import block_env
from l2engine.errors import DecodeError, InvalidAttributes, InvalidTransaction
from l2engine.evm.choose import executor_factory
from l2engine.evm.executor import BlockExecution
from l2engine.types.transaction import BlobTransaction
from tests.helpers.dev_chain import forkchoice
from tests.helpers.in_process import InProcess
from tests.helpers.op_geth_answers import ANYTHING, load, reason
from tests.helpers.two_faults import CHAINS, Case, Chain, chain

Saying = tuple[Case, str | None]
"""A case, and what it is refused for."""

needs_native = pytest.mark.skipif(
    find_spec("l2engine_native") is None, reason="the native core is not installed: `make native` builds it (needs cargo)"
)


@cache
def executed(name: str, evm: str) -> tuple[tuple[Case, Exception | None], ...]:
    """The error that an executor raises for each case in the middle of a block; None where it accepts it. A refused transaction leaves the
    block as it was, so that the next one meets it too."""
    about, found = chain(name), []
    blocks = {crowded: _begun(about, crowded, evm) for crowded in (False, True)}
    for case in about.cases:
        raised: Exception | None = None
        try:
            blocks[case.crowded].apply(case.raw)
        except (InvalidTransaction, DecodeError) as error:
            raised = error
        else:
            blocks[case.crowded] = _begun(about, case.crowded, evm)
        found.append((case, raised))
    return tuple(found)


def _begun(about: Chain, crowded: bool, evm: str) -> BlockExecution:
    """A block that has its first transactions, and room for a case's."""
    engine = InProcess(about.genesis, evm=evm).engine
    some = about.block(next(case for case in about.cases if case.crowded == crowded))
    execution = executor_factory(evm)(about.config).begin(engine.state.view(engine.head.hash), block_env(about.config, some, engine.head))
    for raw in about.before(crowded):
        execution.apply(raw)
    return execution


def in_payload(about: Chain) -> Iterator[Saying]:
    """newPayload."""
    engine = InProcess(about.genesis, evm="auto").engine
    for case in about.cases:
        header = about.block(case).header
        requests = () if header.requests_hash is not None else None
        said = engine.new_payload(about.payload(case), case.blob_hashes, header.parent_beacon_block_root, requests).validation_error
        unrefused = said is not None and said.startswith("invalid gas used")  # as all of these blocks have in the end
        yield case, None if unrefused else said


def in_attributes(about: Chain) -> Iterator[Saying]:
    """forkchoiceUpdated with noTxPool; only OP chains have transactions in attributes."""
    engine = InProcess(about.genesis, evm="auto").engine
    for case in about.cases if about.fork.is_optimism else ():
        try:
            engine.forkchoice_updated(forkchoice(engine.head), about.attributes(case))
        except InvalidAttributes as error:
            yield case, str(error)
        else:
            yield case, None


def in_pool(about: Chain) -> Iterator[Saying]:
    """The pool. It knows no blob transactions, which only Ethereum's has."""
    pool = InProcess(about.genesis, evm="auto").engine.pool
    for case in about.cases:
        if case.raw[0] == BlobTransaction.type and not about.fork.is_optimism:
            continue
        try:
            pool.add(case.raw)
        except InvalidTransaction as error:
            yield case, str(error)
        else:
            yield case, None


@pytest.mark.parametrize("evm", ["py", pytest.param("native", marks=needs_native)])
def test_executor_names_the_fault_that_geth_names(evm: str) -> None:
    def said(about: Chain) -> Iterator[Saying]:
        return ((case, _text(error)) for case, error in executed(about.name, evm))

    _compare(said, lambda about, case: reason(load()[about.name][case.name], case))


def test_payload_is_invalid_for_the_fault_that_geth_names() -> None:
    _compare(in_payload, lambda about, case: load()[about.name][case.name].payload)


def test_attributes_are_refused_for_the_fault_that_geth_names() -> None:
    _compare(in_attributes, lambda about, case: load()[about.name][case.name].forced)


def test_pool_names_the_fault_that_geth_names() -> None:
    _compare(in_pool, lambda about, case: load()[about.name][case.name].pool)


@needs_native
def test_both_executors_refuse_alike() -> None:
    def refusal(error: Exception | None) -> object:
        return getattr(error, "reason", type(error))

    found = []
    for name in CHAINS:
        for (case, native), (_, reference) in zip(executed(name, "native"), executed(name, "py"), strict=True):
            if refusal(native) != refusal(reference):
                found.append(f"{name}, {case.name}: native {native}, reference {reference}")
    assert not found, _report(found)


def test_every_transaction_has_its_answers() -> None:
    for name in CHAINS:
        assert set(load()[name]) == set(chain(name).by_name)


def _compare(said: Callable[[Chain], Iterator[Saying]], wanted: Callable[[Chain, Case], str | None]) -> None:
    found = []
    for name in CHAINS:
        for case, text in said(chain(name)):
            geth = wanted(chain(name), case)
            if text != geth and not (geth == ANYTHING and text is not None):
                found.append(f"{name}, {case.name}:\n    said {text}\n    geth {geth}")
    assert not found, _report(found)


def _text(error: Exception | None) -> str | None:
    return None if error is None else str(error)


def _report(found: list[str]) -> str:
    return "\n".join([f"{len(found)} refusals differ, of which the first are", *found[:50]])
