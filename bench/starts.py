"""What a start costs, of one or more installed programs in turn: processor time of `--version`, and of a dev chain until it is ready.

    .venv/bin/python bench/starts.py [--runs 10] NAME=PATH/TO/bin/l2engine ...

Processor seconds, the least of all runs: neighbours on the machine only add to it. Memory is resident, in MB, when it is ready.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

EXECUTORS = ("native", "py")


def version(program: str) -> float:
    """Processor seconds of `--version`."""
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([program, "--version"], stdout=subprocess.DEVNULL, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def dev(program: str, evm: str) -> tuple[float, float]:
    """Processor seconds of all threads of a dev chain that has just become ready, and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "dev", "--datadir", folder, "--http.port", "0", "--authrpc.port", "0", "--evm", evm]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        next(line for line in process.stdout if "http://" in line)
        here = Path("/proc", str(process.pid))
        seconds = sum(int((task / "schedstat").read_text().split()[0]) for task in (here / "task").iterdir()) / 1e9
        resident = next(line for line in (here / "status").read_text().splitlines() if line.startswith("VmRSS"))
        process.terminate()
        process.wait()
        return seconds, int(resident.split()[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("programs", nargs="+", metavar="NAME=PROGRAM")
    args = parser.parse_args()
    programs = dict(item.split("=", 1) for item in args.programs)
    versions: dict[str, list[float]] = {name: [] for name in programs}
    chains: dict[tuple[str, str], list[tuple[float, float]]] = {(name, evm): [] for name in programs for evm in EXECUTORS}
    for _ in range(args.runs):
        for name, program in programs.items():
            versions[name].append(version(program))
            for evm in EXECUTORS:
                chains[name, evm].append(dev(program, evm))
    print("| | --version | dev, native | dev, py | memory, native | memory, py |\n|---|---|---|---|---|---|")
    for name in programs:
        ready = [f"{min(run[0] for run in chains[name, evm]):.2f}" for evm in EXECUTORS]
        memory = [f"{min(run[1] for run in chains[name, evm]):.0f}" for evm in EXECUTORS]
        print(f"| {name} | {min(versions[name]):.3f} | {' | '.join(ready)} | {' | '.join(memory)} |")


if __name__ == "__main__":
    main()
