"""Print the settings that these flags, the environment and `--config` amount to, as TOML that `--config` reads back."""

import argparse

from l2engine import settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of `run`."""
    settings.add_flags(parser)


def run(args: argparse.Namespace) -> int:
    print(settings.resolve(args).as_toml(), end="")
    return 0
