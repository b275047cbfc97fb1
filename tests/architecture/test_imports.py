"""The house of docs/architecture.md, checked: arrows point inward, there are no cycles, files stay readable."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("l2engine", "rpc", "p2p", "genesis")

_BASE = {"errors", "types"}
_CORE = _BASE | {"rules", "evm", "store", "genesis", "chain"}
MAY_IMPORT = {
    "errors": set(),
    "types": _BASE,
    "rules": _BASE | {"rules"},
    "genesis": _BASE | {"rules", "genesis"},
    "evm": _BASE | {"rules", "evm"},
    "store": _BASE | {"rules", "store"},
    "chain": _CORE,
    "rpc": _CORE | {"rpc"},
    "p2p": _CORE | {"p2p"},
    "conformance": _CORE | {"conformance"},
    "logs": set(),
    "settings": _BASE | {"rules"},
}
SEES_EVERYTHING = {"node", "assembly", "commands", "__main__"}
MAY_WAIT = {"rpc", "p2p", "node", "commands", "chain.recovery", "chain.sequencer"}
LONGEST = 600


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def layer(module: str) -> str:
    """`l2engine.store.kv` is of the layer store, `rpc.codec` of rpc, `l2engine` itself of none."""
    parts = module.split(".")
    return parts[0] if parts[0] != "l2engine" else parts[1] if len(parts) > 1 else ""


@cache
def imports(module: str) -> frozenset[str]:
    """Our own modules that `module` imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules() else node.module for alias in node.names}
    return frozenset(name for name in found if name in modules() and name != module)


@pytest.mark.parametrize("module", modules())
def test_imports_point_inward(module):
    own = layer(module)
    if own in SEES_EVERYTHING or own == "":
        return
    assert own in MAY_IMPORT, f"{module} is of no known layer"
    outward = {name for name in imports(module) if layer(name) not in MAY_IMPORT[own] | {""}}
    assert not outward, f"{module} imports {outward}"


def test_no_module_imports_itself_through_others():
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path[path.index(module) :], module))
        if module not in done:
            for name in sorted(imports(module)):
                visit(name, (*path, module))
            done.add(module)

    for module in modules():
        visit(module, ())


@pytest.mark.parametrize("module", modules())
def test_module_says_what_it_is_and_stays_short(module):
    text = modules()[module].read_text()
    assert ast.get_docstring(ast.parse(text)), f"{module} has no docstring"
    assert text.count("\n") <= LONGEST, f"{module} has more than {LONGEST} lines"


@pytest.mark.parametrize("module", modules())
def test_only_the_edges_wait(module):
    if layer(module) in MAY_WAIT or module.removeprefix("l2engine.") in MAY_WAIT:
        return
    waiting = [node.name for node in ast.walk(ast.parse(modules()[module].read_text())) if isinstance(node, ast.AsyncFunctionDef)]
    assert not waiting, f"{module} waits in {waiting}"


def test_the_command_line_starts_without_heavy_libraries():
    code = "import sys, l2engine.__main__; print([name for name in ('eth', 'aiohttp', 'plyvel', 'web3') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
