"""Make an earlier block the head: `l2engine rewind --datadir DIR NUMBER`. The blocks above stay known; safe and finalized follow."""

import argparse

from l2engine import assembly, logs, settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The block's number and all flags of `run`."""
    parser.add_argument("number", type=settings.argument(settings.parse_number), metavar="NUMBER", help="the new head")
    settings.add_flags(parser, "datadir", "cache", "evm")


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args, verbosity=2)
    logs.configure(chosen.log_format, chosen.verbosity)
    chain = assembly.open_chain(chosen, assembly.open_database(chosen, create=False))
    try:
        chain.engine.rewind(args.number)
        head = chain.engine.head
        print(f"head: {head.number} 0x{head.hash.hex()}")
        return 0
    finally:
        chain.close()
