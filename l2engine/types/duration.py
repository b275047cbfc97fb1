"""Durations as Go writes them: `5s`, `1h30m`, `1.5ms`."""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)"


def parse_duration(text: str) -> float:
    """Seconds; `ValueError` when the text is not a duration."""
    if not re.fullmatch(f"(?:{_PART})+", text):
        raise ValueError(f"not a duration: {text!r}")
    return sum(float(count) * _UNITS[unit] for count, unit in re.findall(_PART, text))
