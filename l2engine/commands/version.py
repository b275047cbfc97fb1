"""Print the version, the Python below it and whether the native executor is there."""

import argparse
import importlib.util
import platform

from l2engine import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(args: argparse.Namespace) -> int:
    native = "native and py" if importlib.util.find_spec("l2engine_native") else "py"
    print(
        f"l2engine {__version__}\nPython {platform.python_version()} on {platform.system().lower()}/{platform.machine()}\nexecutors: {native}"
    )
    return 0
