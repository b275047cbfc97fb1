"""The tips of a block, as eth_feeHistory asks for them."""

from hypothesis import given
from hypothesis import strategies as st

from rpc.fee_history import PaidTips, TipSteps, steps

PAID = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 100_000)))


@given(PAID, st.integers(0, 1_000_000))
def test_tips_are_reached_transaction_by_transaction(paid, threshold):
    """geth walks over the sorted transactions until so much gas is used, and stops at the last one."""
    ordered, expected, gas = sorted(paid), 0, 0
    for tip, used in ordered:
        expected, gas = tip, gas + used
        if gas >= threshold:
            break
    assert steps(paid).at(threshold) == expected


def test_blocks_are_computed_once_while_there_is_room():
    kept, computed = PaidTips(max_steps=7), []

    def of(name: bytes) -> TipSteps:
        def compute() -> TipSteps:
            computed.append(name)
            return steps([(1, 21_000), (2, 21_000)])

        return kept.of(name, compute)

    for name in (b"a", b"b", b"a", b"b", b"c", b"b", b"a"):
        assert of(name).tips == (1, 2)
    assert computed == [b"a", b"b", b"c", b"a"]
