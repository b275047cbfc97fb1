"""Check a database, count what is in it, drop the damaged end of its log, or set the finalized block.

`verify` reads every row. It builds the tries anew from the flat state and compares them, all blocks with the roots in their headers,
the indexes, the base's root and the chain below the head: exit status 0 when all agree, 1 with the first difference otherwise
(--all prints up to a hundred). `stats` prints rows and bytes by kind. `repair` is for a database that is refused because of a
damaged log: it drops what the log holds from the damaged record on, so that the chain ends a little earlier. `set-finalized NUMBER` makes a block of the chain finalized, and safe if no later one is: for a
directory whose rollup node shall not begin at the genesis.
"""

import argparse
import itertools

from l2engine import assembly, logs, settings
from l2engine.errors import ConfigError
from l2engine.settings import Settings
from l2engine.store import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """verify, stats, repair or set-finalized with a block's number, and the data directory."""
    parser.add_argument("action", choices=("verify", "stats", "repair", "set-finalized"), help="what to do")
    parser.add_argument(
        "number", nargs="?", type=settings.argument(settings.parse_number), metavar="NUMBER", help="set-finalized: the block"
    )
    parser.add_argument("--all", action="store_true", help="verify: print every difference")
    settings.add_flags(parser, "datadir", "cache")


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args, verbosity=2)
    if (args.number is None) == (args.action == "set-finalized"):
        raise ConfigError("db set-finalized needs the number of a block" if args.number is None else f"db {args.action} takes no number")
    if args.action == "set-finalized":
        return _set_finalized(chosen, args.number)
    if args.action == "repair":
        print("\n".join(assembly.repair_database(chosen)) or "ok: no log is damaged")
        return 0
    kv = assembly.open_database(chosen, create=False)
    try:
        if args.action == "stats":
            rows = verify.stats(kv)
            for row in rows:
                print(f"{row.name:<20} {row.rows:>12,} rows {(row.key_bytes + row.value_bytes) / 2**20:>12,.2f} MiB")
            print(
                f"{'total':<20} {sum(row.rows for row in rows):>12,} rows {sum(row.key_bytes + row.value_bytes for row in rows) / 2**20:>12,.2f} MiB"
            )
            return 0
        differences = list(itertools.islice(verify.verify(kv), None if args.all else 1))
        print("\n".join(differences) or "ok: flat state, tries, blocks, indexes and head agree")
        return 1 if differences else 0
    finally:
        kv.close()


def _set_finalized(chosen: Settings, number: int) -> int:
    logs.configure(chosen.log_format, chosen.verbosity)
    chain = assembly.open_chain(chosen, assembly.open_database(chosen, create=False))
    try:
        chain.engine.set_finalized(number)
        for name, label in (("safe", chain.engine.safe), ("finalized", chain.engine.finalized)):
            if label is not None:
                print(f"{name}: {label.number} 0x{label.hash.hex()}")
        return 0
    finally:
        chain.close()
