"""The house of native/README.md, checked: `use crate::` and `use super::` as the Python imports are."""

import re
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "native" / "src"
LONGEST = 600

MAY_USE = {
    "ground": {"ground"},
    "execute": {"ground", "execute"},
    "store": {"ground", "store"},
    "python": {"ground", "execute", "store", "python"},
}
KNOWS_PYO3 = {"python", "errors", "fork", "lib"}

_PATH = re.compile(r"\b(crate|super)((?:::\w+)+)")
_GROUP = re.compile(r"\b(crate|super)((?:::\w+)*)::\{([^;]*)\};")


@cache
def modules() -> dict[str, Path]:
    """`store::state::base` and the like; `lib` only declares the others."""
    found = {}
    for path in sorted(SOURCE.rglob("*.rs")):
        found["::".join(path.relative_to(SOURCE).with_suffix("").parts)] = path
    return found


def wing(module: str) -> str:
    return module.partition("::")[0] if "::" in module else "ground"


def code(module: str) -> str:
    """The module's text without comments and unit tests."""
    return re.sub(r"//.*", "", modules()[module].read_text().partition("#[cfg(test)]")[0])


@cache
def uses(module: str) -> frozenset[str]:
    """Our own modules that `module` names, but its parent and children: they are one idea in several files."""
    paths = [(root, tail) for root, tail in _PATH.findall(code(module))]
    for root, prefix, names in _GROUP.findall(code(module)):
        paths += [(root, f"{prefix}::{name}") for name in re.findall(r"(?:^|[\s,])(\w+)", names)]
    found = {_module_of(module, root, tail.removeprefix("::").split("::")) for root, tail in paths}
    return frozenset(name for name in found if name and not _is_kin(module, name))


def _module_of(module: str, root: str, tail: list[str]) -> str | None:
    start = module.split("::")[:-1] if root == "super" else []
    path = start + tail
    return next((name for end in range(len(path), 0, -1) if (name := "::".join(path[:end])) in modules()), None)


def _is_kin(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}::") or other.startswith(f"{one}::")


@pytest.mark.parametrize("module", set(modules()) - {"lib"})
def test_wings_use_only_their_ground(module):
    outward = {name for name in uses(module) if wing(name) not in MAY_USE[wing(module)]}
    assert not outward, f"{module} uses {outward}"


def test_no_rust_module_uses_itself_through_others():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(uses(module)):
                visit(name, (*path, module))
            done.add(module)

    for module in set(modules()) - {"lib"}:
        visit(module, ())


@pytest.mark.parametrize("module", modules())
def test_only_the_edge_knows_python(module):
    if wing(module) == "python" or module in KNOWS_PYO3:
        return
    assert "pyo3" not in code(module), f"{module} knows PyO3"


@pytest.mark.parametrize("module", modules())
def test_rust_module_says_what_it_is_and_stays_short(module):
    text = modules()[module].read_text()
    assert text.startswith("//! "), f"{module} has no docstring"
    assert text.count("\n") <= LONGEST, f"{module} has more than {LONGEST} lines"


def test_uses_are_found_in_every_form():
    assert {"errors", "fork", "view"} <= uses("execute::block")
    assert "store::kv" in uses("store::state::base")
    assert "store::state" not in uses("store::state::base"), "a parent and its child are one idea"
    assert _module_of("store::layers", "super", ["kv", "Store"]) == "store::kv"
