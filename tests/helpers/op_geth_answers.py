"""op-geth's answers to the transactions of tests/helpers/two_faults.py: the file beside this one, and how it is read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from eth_utils import to_checksum_address

from l2engine.types.base import keccak
from tests.helpers.two_faults import CHAINS, Case, chain

ANSWERS = Path(__file__).with_name("two_faults.json")
CRASHED = "method handler crashed"
"""op-geth's answer after a request made it panic."""
ANYTHING = "refused"
"""Stands in for an answer that nobody should follow: the transaction is refused, for whatever reason."""
NOT_FOLLOWED = re.compile("^type 0x7d|^deposit type|257 bits|v of 29|blob type, data too long")
"""op-geth decodes Lagoon's transactions before Lagoon, executes deposits on Ethereum's chains too, decodes numbers beyond 256 bits to
refuse them later, and names chains and mints by numbers that have wrapped around. Its pool looks at a transaction's type before its size."""

ACCEPTED = ("gapped-nonce tx from delegated accounts",)
"""Reasons that keep a transaction only out of op-geth's pool (docs/differences.md)."""


@dataclass(frozen=True)
class Answer:
    """op-geth's answer to a transaction; None where it accepted it."""

    pool: str | None
    payload: str | None
    forced: str | None


@cache
def load() -> dict[str, dict[str, Answer]]:
    """op-geth's answers by chain and case."""
    found: dict[str, dict[str, Answer]] = {name: {} for name in CHAINS}
    for row in json.loads(ANSWERS.read_text()):
        for name in row["chains"].split():
            case = chain(name).by_name[row["case"]]
            found[name][case.name] = Answer(*(_wanted(row[key], case) for key in ("pool", "payload", "forced")))
    return found


def reason(answer: Answer, case: Case) -> str | None:
    """The reason why execution refuses the transaction, as far as the payload's refusal gives it."""
    if answer.payload is None:
        return None
    found = re.fullmatch(rf"could not apply tx \d \[0x{keccak(case.raw).hex()}\]: (.*)|invalid transaction \d: (.*)", answer.payload)
    return (found[1] or found[2]) if found else ANYTHING


def group(answers: Mapping[str, Mapping[str, Answer]]) -> str:
    """The file's text: a line for each different answer to a case, with the chains that give it."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for name, by_case in answers.items():
        for case_name, answer in by_case.items():
            case = chain(name).by_name[case_name]
            texts = (json.dumps(_blank(text, case)) for text in (answer.pool, answer.payload, answer.forced))
            rows.setdefault((json.dumps(case_name), *texts), []).append(name)
    lines = (
        f'{{"case": {case}, "chains": "{" ".join(names)}",\n "pool": {pool},\n "payload": {payload},\n "forced": {forced}}}'
        for (case, pool, payload, forced), names in sorted(rows.items())
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _wanted(text: str | None, case: Case) -> str | None:
    """The answer to give: op-geth's with the case's hash and sender in their places, where it can be followed."""
    if text == CRASHED or NOT_FOLLOWED.search(case.name):
        return ANYTHING
    if text in ACCEPTED:
        return None
    return text and text.replace("HASH", "0x" + keccak(case.raw).hex()).replace("SENDER", to_checksum_address(case.sender))


def _blank(text: str | None, case: Case) -> str | None:
    return text and text.replace("0x" + keccak(case.raw).hex(), "HASH").replace(to_checksum_address(case.sender), "SENDER")
