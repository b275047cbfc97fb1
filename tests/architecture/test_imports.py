"""The house of docs/architecture.md, checked: arrows point inward, there are no cycles, files stay readable."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("l2engine", "rpc", "p2p", "genesis")

_BASE = {"hashing", "errors", "refusals", "types"}
_CORE = _BASE | {"rules", "evm", "store", "genesis", "chain"}
MAY_IMPORT = {
    "hashing": set(),
    "refusals": {"hashing"},
    "errors": {"refusals"},
    "types": _BASE,
    "rules": _BASE | {"rules"},
    "genesis": _BASE | {"rules", "genesis"},
    "evm": _BASE | {"rules", "evm"},
    "store": _BASE | {"rules", "store"},
    "chain": _CORE,
    "dev": _CORE | {"dev"},
    "rpc": _CORE | {"rpc"},
    "p2p": _CORE | {"p2p"},
    "conformance": _CORE | {"conformance"},
    "logs": set(),
    "op_reth_flags": _BASE,
    "settings": _BASE | {"rules", "op_reth_flags"},
}
SEES_EVERYTHING = {"node", "assembly", "commands", "__main__"}
_CALL = {"rpc.jsonrpc", "rpc.context", "rpc.errors", "rpc.fee_history", "rpc.installed_filters"}  # the call, without I/O
RPC_MAY_IMPORT = {
    "rpc.read": {"rpc.read", "rpc.errors"},
    "rpc.show": {"rpc.show"},
    "rpc.methods": {*_CALL, "rpc.read", "rpc.show", "rpc.methods"},
    "rpc.ports": {*_CALL, "rpc.read", "rpc.show", "rpc.methods", "rpc.ports"},
    "rpc.registry": {*_CALL, "rpc.read", "rpc.methods"},
    **{module: {*_CALL, "rpc.read"} for module in _CALL},
}
MAY_WAIT = {"rpc.ports", "p2p", "node", "commands", "chain.recovery", "dev.sequencer"}
LONGEST = 600


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def layer(module: str) -> str:
    """`l2engine.store.kv` is of the layer store, `rpc.context` of rpc, `l2engine` itself of none."""
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


def wing(module: str) -> str:
    """`rpc.read.values` is of the wing rpc.read; a file beside the wings is one by itself."""
    return ".".join(module.split(".")[:2])


@pytest.mark.parametrize("module", [module for module in modules() if module.startswith("rpc.")])
def test_wings_of_the_rpc_know_only_those_below(module):
    above = {name for name in imports(module) if name.startswith("rpc.") and wing(name) not in RPC_MAY_IMPORT[wing(module)]}
    assert not above, f"{module} imports {above}"


@pytest.mark.parametrize("module", [module for module in modules() if module.startswith("rpc.methods.")])
def test_namespaces_of_methods_do_not_know_each_other(module):
    own = module.split(".")[2]
    others = {name for name in imports(module) if name.startswith("rpc.methods.") and name.split(".")[2] != own}
    assert not others, f"{module} imports {others}"


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
    if layer(module) in MAY_WAIT or wing(module) in MAY_WAIT or module.removeprefix("l2engine.") in MAY_WAIT:
        return
    waiting = [node.name for node in ast.walk(ast.parse(modules()[module].read_text())) if isinstance(node, ast.AsyncFunctionDef)]
    assert not waiting, f"{module} waits in {waiting}"


_DEPOSIT_MODULES = {"types.transaction", "types.transaction_codec", "evm.transactions"}


@pytest.mark.parametrize("module", modules())
def test_transactions_are_asked_by_attribute_not_by_class(module):
    """A new type that is not signed, or pays nothing, then needs no change where such things are asked."""
    if module.removeprefix("l2engine.") in _DEPOSIT_MODULES:
        return
    calls = [node for node in ast.walk(ast.parse(modules()[module].read_text())) if isinstance(node, ast.Call)]
    asked = [call.lineno for call in calls if ast.unparse(call.func) == "isinstance" and "DepositTransaction" in ast.unparse(call.args[1])]
    assert not asked, f"{module} asks for the class of deposits in line {asked}"


def test_a_native_node_imports_no_library_of_the_reference_executor():
    started = "l2engine.commands.dev, l2engine.node, l2engine.assembly, l2engine.dev.sequencer, l2engine.evm.native.machine, rpc.registry"
    code = f"import sys, {started}; print([name for name in ('eth', 'eth_utils', 'pydantic') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_command_line_starts_without_heavy_libraries():
    code = "import sys, l2engine.__main__; print([name for name in ('eth', 'aiohttp', 'plyvel', 'web3') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
