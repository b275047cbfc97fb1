"""`make help`, and the targets that the docs name."""

import re
import subprocess

from tests.helpers.running import ROOT


def listed() -> set[str]:
    output = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  make (\S+) +\S", output, re.MULTILINE))


def test_help_lists_what_the_docs_name():
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "native" / "README.md"]
    named = {name for page in pages for name in re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE)}
    assert {"run", "test", "install"} <= named <= listed()


def test_every_step_runs_in_a_python_that_is_there():
    dry = subprocess.run(["make", "--dry-run", "--always-make", ".venv/.installed"], cwd=ROOT, capture_output=True, text=True, check=True)
    programs = re.findall(r"(\S*) tools/steps.py", dry.stdout)
    assert programs
    for program in set(programs):
        subprocess.run([program, "--version"], check=True, capture_output=True)
