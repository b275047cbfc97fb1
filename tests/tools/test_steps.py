"""The lines that `make` prints while it sets up, with stand-ins for what it would install and build."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.running import ROOT

STEPS = [sys.executable, str(ROOT / "tools" / "steps.py")]
SECONDS = 60  # generous: tests share the machine


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """steps.py in a process group of its own, as a terminal would have it."""
    return subprocess.Popen(
        [*STEPS, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def steps(folder: Path, *words: str) -> tuple[int, str]:
    process = start(folder, *words)
    output, _ = process.communicate(timeout=SECONDS)
    return process.returncode, output


def make(folder: Path, native: str) -> str:
    """A make whose native executor is older than its sources, and is built by the shell commands `native`."""
    script(folder / ".venv" / "bin" / "python", 'echo "$*" >> python-calls')
    return script(folder / "make", f'case "$*" in *--question*) exit 1;; esac\n{native}')


def script(path: Path, commands: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)
    return str(path)


def wait_for(path: Path) -> None:
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} never came"
        time.sleep(0.01)


def test_step_is_one_line_with_its_time(tmp_path: Path) -> None:
    status, output = steps(tmp_path, "step", "Python packages", "sh", "-c", "echo a lot of text")
    name, _, seconds = output.partition("  ")
    assert (status, name) == (0, "Python packages")
    assert seconds.endswith(" s\n") and float(seconds[:-3]) >= 0
    assert (tmp_path / ".setup" / "python-packages.log").read_text() == "a lot of text\n"


def test_failed_step_shows_its_log(tmp_path: Path) -> None:
    status, output = steps(tmp_path, "step", "Python packages", "sh", "-c", "echo no such package; exit 3")
    assert status == 3
    assert "failed after" in output and "no such package" in output and ".setup/python-packages.log" in output


def test_first_error_of_a_long_log_is_shown(tmp_path: Path) -> None:
    _, output = steps(tmp_path, "step", "Native executor", "sh", "-c", "echo 'error: missing semicolon'; seq 1000; exit 1")
    assert "error: missing semicolon\n976\n" in output


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_step_leaves_its_mark(tmp_path: Path, number: signal.Signals, status: int) -> None:
    mark = tmp_path / "mark"
    process = start(tmp_path, "step", "--unfinished", "mark", "Python packages", "sh", "-c", "touch begun; exec sleep 600")
    wait_for(tmp_path / "begun")
    subprocess.run(["kill", f"-{number.value}", "--", f"-{process.pid}"], check=True)
    assert "the next make goes on" in process.communicate(timeout=SECONDS)[0]
    assert process.returncode == status and mark.exists()
    assert steps(tmp_path, "step", "--unfinished", "mark", "Python packages", "true")[0] == 0
    assert not mark.exists()


def test_second_make_waits_for_the_first(tmp_path: Path) -> None:
    first = start(tmp_path, "alone", "Packages", "sh", "-c", "touch begun; until [ -e go ]; do sleep 0.02; done; echo first >> order")
    wait_for(tmp_path / "begun")
    second = start(tmp_path, "alone", "Packages", "sh", "-c", "echo second >> order")
    assert second.stdout is not None and "waiting for another make" in second.stdout.readline()
    (tmp_path / "go").touch()
    for process in (first, second):
        process.communicate(timeout=SECONDS)
    assert (tmp_path / "order").read_text() == "first\nsecond\n"


def test_chain_runs_while_the_native_executor_is_built(tmp_path: Path) -> None:
    program = make(tmp_path, "until [ -e up ]; do sleep 0.02; done; touch built")
    chain = "echo chain; touch up; until [ -e built ]; do sleep 0.02; done; sleep 1"
    status, output = steps(tmp_path, "run", program, "sh", "-c", chain)
    building, up, built = output.splitlines()
    assert (status, up) == (0, "chain")
    assert building.startswith("Native executor: building in the background") and building.endswith("uses the Python executor")
    assert built.startswith("Native executor: built in ") and built.endswith("the next start uses it")


def test_failed_build_is_told_and_the_chain_goes_on(tmp_path: Path) -> None:
    program = make(tmp_path, "echo no compiler; touch failed; exit 1")
    status, output = steps(tmp_path, "run", program, "sh", "-c", "until [ -e failed ]; do sleep 0.02; done; sleep 1; echo chain")
    assert status == 0
    assert "the build failed" in output and "no compiler" in output and output.endswith("chain\n")


def test_build_ends_with_the_chain(tmp_path: Path) -> None:
    program = make(tmp_path, "echo $$ > pid.new; mv pid.new pid; exec sleep 600")
    status, output = steps(tmp_path, "run", program, "sh", "-c", "until [ -e pid ]; do sleep 0.02; done; exit 7")
    assert status == 7
    assert "the next `make run` goes on with it" in output
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_native_executor_that_is_built_is_not_mentioned(tmp_path: Path) -> None:
    program = script(tmp_path / "make", "exit 0")
    assert steps(tmp_path, "run", program, "echo", "chain") == (0, "chain\n")


def test_core_of_older_sources_is_uninstalled_first(tmp_path: Path) -> None:
    steps(tmp_path, "run", make(tmp_path, "exit 0"), "cp", "python-calls", "before-the-chain")
    assert "-m pip uninstall --yes l2engine-native" in (tmp_path / "before-the-chain").read_text()
