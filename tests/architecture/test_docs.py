"""The documentation names every flag, method, command and dependency that there is."""

import re
import tomllib
from pathlib import Path

from genesis.registry import registry
from l2engine.__main__ import COMMANDS
from l2engine.settings import FLAGS, IGNORED_SWITCHES, IGNORED_VALUES, Flag, Settings, shown_value
from rpc.registry import ENGINE_NAMESPACES, methods_for

ROOT = Path(__file__).resolve().parents[2]


def page(name: str) -> str:
    return (ROOT / name).read_text()


def test_every_flag_is_documented_as_it_is():
    rows = page("docs/operations.md").splitlines()
    assert [row for row in map(_row, FLAGS) if row not in rows] == []


def _row(flag: Flag) -> str:
    default = Settings.__dataclass_fields__[flag.field].default
    shown = "off" if default is False else f"`{shown_value(default)}`" if default not in (None, "", ()) else ""
    choices = ", ".join(filter(None, flag.choices))
    names = ", ".join(f"`--{name}`" for name in (flag.name, *flag.aliases))
    return f"| {names} | {shown} | {flag.help}{f' ({choices})' if choices else ''} |"


def test_every_method_is_documented():
    rows = dict(re.findall(r"^\| (\w+) \| (`.*`) \|$", page("docs/rpc.md"), re.MULTILINE))
    served = methods_for((*ENGINE_NAMESPACES, "admin"))
    missing = [name for name in served if f"`{name.partition('_')[2]}`" not in rows.get(name.partition("_")[0], "")]
    assert missing == []


def test_every_command_is_documented():
    text = page("README.md") + page("docs/operations.md") + page("docs/testing.md")
    assert [name for name in COMMANDS if f"l2engine {name}" not in text and name != "version"] == []


def test_every_dependency_has_its_reason():
    project = tomllib.loads(page("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = [re.split(r"[=<>\[]", line)[0] for line in wanted]
    text = page("docs/decisions.md")
    assert [name for name in names if f"`{name}`" not in text and name != project["name"]] == []


def test_links_between_pages_lead_somewhere():
    for source in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", source.read_text()):
            assert (source.parent / target).exists(), f"{source.name} links to {target}"


def test_the_readme_names_no_chain_that_cannot_be_followed():
    chains = registry().chains.values()
    others = [c for c in chains if c.genesis_number or c.retired or c.time_unknown or "azul" in c.forks]
    named = [c.name for c in others if re.search(rf"\b{re.escape(c.name)}\b(?! Sepolia)", page("README.md"))]
    assert len(others) > 15 and named == []
    assert [c.name for c in others if c.name.split()[0] not in page("docs/operations.md")] == []


def test_flags_for_those_who_come_from_other_clients_are_taken():
    text = page("docs/coming-from.md").split("## Flags")[1].split("## Answers")[0]
    named = set(re.findall(r"`--([a-z][\w.-]*\w)", text)) - {"dev", "flag"}
    known = {name for flag in FLAGS for name in (flag.name, *flag.aliases)} | IGNORED_SWITCHES | IGNORED_VALUES
    translated = {"full", "instance", "with-unused-ports", "txpool.disable-transactions-backup", "override"}
    assert len(named) > 80 and named - known - translated == set()
