"""Text decides nothing: no code looks into an error's words, but for the few modules where words are all there is."""

import ast
from pathlib import Path

import pytest

from tests.architecture.test_imports import modules

READS_WORDS = {
    "l2engine.evm.reference.failures": "py-evm's OutOfGas stands for several kinds, told apart by its text alone",
    "l2engine.store.leveldb_words": "LevelDB gives nothing but words",
    "rpc.errors": "decides where an error's text goes in the answer",
}
_NAMES = {"error", "err", "failure_text", "problem", "refused"}
_ATTRIBUTES = {"error", "validation_error", "text", "words", "args", "msg"}
_OWNERS = {"error", "failure", "result", "answer", "problem", "status"}
_METHODS = {"startswith", "endswith", "find", "index", "replace", "split", "partition", "removeprefix", "removesuffix", "lower", "count"}


class Finder(ast.NodeVisitor):
    """The lines in which something is decided by an error's text."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self._caught: list[str] = []
        self._texts: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        before, self._texts = self._texts, set()
        self.generic_visit(node)
        self._texts = before

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._caught.append(node.name or "")
        self.generic_visit(node)
        self._caught.pop()

    def visit_Assign(self, node: ast.Assign) -> None:
        if self._is_text(node.value):
            self._texts |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        if any(map(self._is_text, sides)) and any(_holds_words(side) for side in sides):
            self.lines.append(node.lineno)
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            looks_into = function.attr in _METHODS and self._is_text(function.value)
            matches = ast.unparse(function.value) == "re" and any(map(self._is_text, node.args))
            if looks_into or matches:
                self.lines.append(node.lineno)
        self.generic_visit(node)

    def _is_text(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="str"), args=[ast.Name(id=name)]):
                return name in _NAMES or name in self._caught
            case ast.Name(id=name):
                return name in _NAMES or name in self._texts
            case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
                return attribute in _ATTRIBUTES and (owner in _OWNERS or owner in self._caught)
            case ast.Attribute(value=ast.Attribute(attr="failure"), attr=attribute):
                return attribute in _ATTRIBUTES
            case ast.BoolOp(values=values):
                return any(map(self._is_text, values))
            case ast.Call(func=ast.Attribute(value=value, attr="lower")):
                return self._is_text(value)
        return False


def _holds_words(node: ast.AST) -> bool:
    """Whether this is a text to compare with."""
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value != "" for part in ast.walk(node))


def decided_by_text(source: str) -> list[int]:
    finder = Finder()
    finder.visit(ast.parse(source))
    return finder.lines


@pytest.mark.parametrize("module", modules())
def test_no_text_of_an_error_decides(module: str) -> None:
    if module not in READS_WORDS:
        lines = decided_by_text(modules()[module].read_text())
        assert not lines, f"{module} looks into an error's text in line {lines}"


@pytest.mark.parametrize(
    "line",
    [
        "if 'lock' in str(error): pass",
        "if result.error == 'execution reverted': pass",
        "ok = (result.error or '').startswith('out of gas')",
        "ok = failure.text.startswith('out of gas')",
        "text = str(error)\n    ok = 'nonce' in text",
        "re.search('gas', str(error))",
    ],
)
def test_such_lines_are_found(line: str) -> None:
    assert decided_by_text(f"def f(result, error, failure):\n    {line}\n")


@pytest.mark.parametrize("module", READS_WORDS)
def test_modules_that_read_words_are_there(module: str) -> None:
    assert Path(modules()[module]).exists()
