"""When the operator is told of an unknown fork, by a clock that the test moves."""

from dataclasses import replace

from l2engine.chain.fork_watch import DAY, ForkWatch
from l2engine.rules.unknown_forks import UnknownActivation
from l2engine.types.header import Header
from tests.helpers.dev_chain import Forge, document

T = 2_000_000_000
BY_TIME = UnknownActivation("neverlandTime", time=T)


def told(fork: UnknownActivation, start: int, end: int, step: int = 3600) -> list[int]:
    """The times of the lines, of a node that looks every `step` seconds."""
    head = Forge(document()).genesis
    watch = ForkWatch([fork], head, None, start)
    return [now for now in range(start, end, step) if watch.due(head, None, now)]


def test_a_line_a_day_from_seven_days_before() -> None:
    lines = told(BY_TIME, T - 10 * DAY, T)
    assert lines == [T - days * DAY for days in range(7, 0, -1)]


def test_a_start_within_the_week_counts_as_a_line() -> None:
    assert told(BY_TIME, T - 2 * DAY - 3600, T) == [T - DAY - 3600, T - 3600]


def test_the_beginning_is_told_and_every_day_after_it() -> None:
    assert told(BY_TIME, T - 7200, T + 2 * DAY + 7200) == [T, T + DAY, T + 2 * DAY]


def test_blocks_are_counted_at_the_chains_pace() -> None:
    forge = Forge(document())
    parent, head = (block.header for block in forge.chain(forge.genesis, 2, seconds=2))
    fork = UnknownActivation("strangeBlock", block=head.number + 1 + 8 * DAY // 2)  # in eight days

    def at(number: int) -> Header:
        return replace(head, number=number)

    watch = ForkWatch([fork], head, parent, 0)
    assert watch.due(head, parent, DAY) == []
    near = at(head.number + DAY // 2)
    assert watch.due(near, parent, DAY) == [(fork, 7 * DAY)]
    assert watch.due(near, parent, DAY + 60) == []
    assert watch.due(at(fork.block - 1), parent, DAY + 120) == [(fork, 0)]  # type: ignore[operator]


def test_blocks_of_one_second_leave_a_fork_to_come() -> None:
    """A dev chain's last two blocks may have one timestamp."""
    head = Forge(document()).genesis
    fork = UnknownActivation("strangeBlock", block=head.number + 11)
    assert ForkWatch([fork], head, head, 0).due(head, head, DAY) == [(fork, 10)]
