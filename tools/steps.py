"""Runs the steps with which `make` sets the project up: a line for each step with its time, the details in a log.

    steps.py step NAME COMMAND…    one step; its output is shown only when it fails
    steps.py alone NAME COMMAND…   a command that waits until no other make is doing the same
    steps.py run MAKE COMMAND…     a dev chain at once, while the native executor is still being built

Uses the standard library only: it runs before anything is installed.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("l2engine needs Python 3.11 or later; `make PYTHON=/path/to/python` names another one")

import argparse
import contextlib
import fcntl
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

FOLDER = Path(".setup")
"""Logs and locks, below the working directory."""
VENV = Path(".venv")
TICK_SECONDS = 30.0
"""How often a long step says how far it is."""
TAIL_LINES = 25
"""How much of its log a failed step shows."""
STOP_SECONDS = 10.0
"""How long a build that is stopped may take before it is killed."""


def main(words: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status, 128 and the signal's number when a signal ended the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("step", "alone", "run"))
    parser.add_argument("--unfinished", type=Path, help="a file that is there until the step has ended by itself")
    parser.add_argument("name", help="of the step; for `run`, the make program")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(words)
    FOLDER.mkdir(exist_ok=True)
    if args.action == "step":
        return step(args.name, args.command, args.unfinished)
    if args.action == "alone":
        with lock(args.name):
            return _run(args.command)
    return run(args.name, args.command)


def step(name: str, command: Sequence[str], unfinished: Path | None = None) -> int:
    """Run a command with its output in a log; a line with the time it took, the log's end when it failed."""
    log = FOLDER / f"{_slug(name)}.log"
    started = time.monotonic()
    print(f"{name:<22}", end="", flush=True)
    if unfinished is not None:
        unfinished.touch()
    with log.open("w") as output, _signals() as received:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        received.hand_on_to(child)
        while (status := _wait(child, TICK_SECONDS)) is None:
            print(f"{time.monotonic() - started:6.0f} s  {_progress(log)}\n{'':<22}", end="", flush=True)
    seconds = time.monotonic() - started
    if received.number:
        print(f"interrupted after {seconds:.1f} s; the next make goes on from here", flush=True)
        return 128 + received.number
    if unfinished is not None:
        unfinished.unlink(missing_ok=True)
    if status:
        print(f"failed after {seconds:.1f} s\n\n{_tail(log)}\n\nThe whole log: {log}", flush=True)
        return status if status > 0 else 128 - status
    print(f"{seconds:6.1f} s", flush=True)
    return 0


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """Wait until no other process holds this lock. It ends with the process, however that ends."""
    with (FOLDER / f"{_slug(name)}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: waiting for another make that is at it", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run(make: str, command: Sequence[str]) -> int:
    """Run a dev chain, and build the native executor meanwhile if it is missing or older than its sources."""
    with _signals() as received:
        build = None if _is_built(make) else _Build(make)
        chain = subprocess.Popen(command)
        received.hand_on_to(chain)
        status = chain.wait()
    if build is not None:
        build.stop()
    return status if status >= 0 else 128 - status


class _Build:
    """The native executor's build in the background; it says how it ended."""

    def __init__(self, make: str) -> None:
        self._remove_old()
        print(
            f"Native executor: building in the background (log: {FOLDER}/native-executor.log); this start uses the Python executor",
            flush=True,
        )
        self._log = FOLDER / "background.log"
        self._stopped = False
        self._started = time.monotonic()
        environment = {**os.environ, "SUDO": "sudo -n"}  # nobody could type a password
        with self._log.open("w") as output:
            self._process = subprocess.Popen(
                ["nice", "-n", "19", make, "--no-print-directory", "native"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, which can be stopped as a whole
            )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End the build if it still runs; what is compiled by now stays."""
        if self._process.poll() is None:
            self._stopped = True
            print("Native executor: not finished; the next `make run` goes on with it", flush=True)
            for number in (signal.SIGINT, signal.SIGKILL):  # pip clears up when it is interrupted
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                if _wait(self._process, STOP_SECONDS) is not None:
                    break
        self._watcher.join()

    def _watch(self) -> None:
        status = self._process.wait()
        seconds = time.monotonic() - self._started
        if self._stopped:
            return
        if status == 0:
            print(f"Native executor: built in {seconds:.0f} s; the next start uses it", flush=True)
        else:
            print(
                f"Native executor: the build failed after {seconds:.0f} s; this chain goes on with the Python executor\n{_tail(self._log)}",
                flush=True,
            )

    @staticmethod
    def _remove_old() -> None:
        """Uninstall a core built from older sources: it may not fit the Python code. One that is being installed now is left alone."""
        python = VENV / "bin" / "python"
        with (FOLDER / "native-executor.lock").open("w") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if subprocess.run([python, "-c", "import l2engine_native"], capture_output=True, check=False).returncode == 0:
                subprocess.run([python, "-m", "pip", "uninstall", "--yes", "l2engine-native"], capture_output=True, check=False)


def _is_built(make: str) -> bool:
    """Whether the native executor is as new as its sources."""
    return subprocess.run([make, "--question", VENV / ".native"], capture_output=True, check=False).returncode == 0


class _Received:
    """Which signal came, and the child that has to hear of it. Ctrl-C reaches the child by itself."""

    def __init__(self) -> None:
        self.number = 0
        self._child: subprocess.Popen[bytes] | None = None

    def hand_on_to(self, child: "subprocess.Popen[bytes]") -> None:
        self._child = child
        self.hand_on()

    def hand_on(self) -> None:
        if self._child is not None and self.number not in (0, signal.SIGINT):
            self._child.send_signal(self.number)


@contextlib.contextmanager
def _signals() -> Iterator[_Received]:
    """Outlive the signals that end a child, and hand them on."""
    received = _Received()

    def handle(number: int, frame: object) -> None:
        received.number = number
        received.hand_on()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: Sequence[str]) -> int:
    with _signals() as received:
        child = subprocess.Popen(command)
        received.hand_on_to(child)
        status = child.wait()
    return status if status >= 0 else 128 - status


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _progress(log: Path) -> str:
    """The crate that a build is compiling now, as far as its log says."""
    compiling = re.findall(r"(?:Compiling|Building|Collecting) \S+", log.read_text(errors="replace"))
    return compiling[-1].lower() if compiling else ""


def _tail(log: Path) -> str:
    """The end of a log, after the first errors that it names further up."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines[:-TAIL_LINES] if re.match(r"\s*error\b", line, re.IGNORECASE)]
    return "\n".join([*errors[:5], *lines[-TAIL_LINES:]])


def _slug(name: str) -> str:
    return name.lower().replace(" ", "-")


if __name__ == "__main__":
    sys.exit(main())
