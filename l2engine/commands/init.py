"""Write a genesis into a data directory and print its hash.

With --network the hash must be the registered one; with --genesis as well, the allocation is the file's and the rules are the
registry's. Running it again with the same genesis changes nothing but the fork schedule.
"""

import argparse
import sys
import time
from pathlib import Path

from l2engine import assembly, settings
from l2engine.errors import ConfigError, GenesisMismatch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `run`, and geth's form `init FILE`."""
    parser.add_argument("file", nargs="?", type=Path, metavar="GENESIS", help="genesis file, as --genesis")
    settings.add_flags(parser, "datadir", "network", "chain-file", "genesis", "cache", "override")


def run(args: argparse.Namespace) -> int:
    if args.file is not None:
        args.genesis = args.file
    chosen = settings.resolve(args)
    try:
        genesis = assembly.read_genesis(chosen)
        registered = assembly.registered_chain(chosen, genesis.config, genesis.hash)
        for line in assembly.check_forks(genesis.config, genesis.header, registered, time.time()):
            print(f"warning: {line}", file=sys.stderr)
        if genesis.has_state:
            kv = assembly.open_database(chosen)
            try:
                assembly.write(kv, genesis)
            finally:
                kv.close()
    except GenesisMismatch as error:
        print(f"genesis mismatch\nexpected: 0x{error.expected.hex()}\ncomputed: 0x{error.got.hex()}", file=sys.stderr)
        return 1
    print(f"genesis hash: 0x{genesis.hash.hex()}")
    if not genesis.has_state:
        raise ConfigError("nothing was written: this chain began before Bedrock, and importing its state is not supported yet")
    return 0
