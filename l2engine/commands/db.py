"""Check a database, or count what is in it.

`verify` builds the tries anew from the flat state and compares them, the base's root and the chain below the head: exit status
0 when all agree, 1 with the first difference otherwise (--all prints up to a hundred). `stats` prints rows and bytes by kind.
"""

import argparse
import itertools

from l2engine import assembly, settings
from l2engine.store import verify


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """verify or stats, and the data directory."""
    parser.add_argument("action", choices=("verify", "stats"), help="what to do")
    parser.add_argument("--all", action="store_true", help="verify: print every difference")
    settings.add_flags(parser, "datadir", "cache")


def run(args: argparse.Namespace) -> int:
    kv = assembly.open_database(settings.resolve(args), create=False)
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
        print("\n".join(differences) or "ok: flat state, tries, blocks and head agree")
        return 1 if differences else 0
    finally:
        kv.close()
