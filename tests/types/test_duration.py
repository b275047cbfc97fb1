"""Durations in Go's form."""

import pytest

from l2engine.types.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5s", 5), ("1h30m", 5400), ("1m30s", 90), ("500ms", 0.5), ("2us", 2e-6), ("2µs", 2e-6), ("3ns", 3e-9), ("1.5h", 5400)],
)
def test_gos_durations_are_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1h30", "-1s", "5s ", "nan", "1.s"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)
