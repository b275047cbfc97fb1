"""Check a database, count what is in it, or drop the damaged end of its log.

`verify` reads every row. It builds the tries anew from the flat state and compares them, all blocks with the roots in their headers,
the indexes, the base's root and the chain below the head: exit status 0 when all agree, 1 with the first difference otherwise
(--all prints up to a hundred). `stats` prints rows and bytes by kind. `repair` is for a database that is refused because of a
damaged log: it drops what the log holds from the damaged record on, so that the chain ends a little earlier.
"""

import argparse
import itertools

from l2engine import assembly, settings
from l2engine.store import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """verify, stats or repair, and the data directory."""
    parser.add_argument("action", choices=("verify", "stats", "repair"), help="what to do")
    parser.add_argument("--all", action="store_true", help="verify: print every difference")
    settings.add_flags(parser, "datadir", "cache")


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args)
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
