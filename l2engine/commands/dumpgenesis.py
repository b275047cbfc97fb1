"""Print a genesis as JSON in geth's format.

Of --genesis FILE, with --network and --override.<fork> applied; of a registered chain without a file only its configuration,
since allocations are not shipped; with neither, of the dev chain (--fork).
"""

import argparse
import json
import time
from typing import Any

from genesis import loader
from genesis.chains import override_forks
from genesis.dev import dev_genesis
from genesis.registry import registry
from l2engine import assembly, settings
from l2engine.commands.dev import BLOCK_TIMESTAMPS
from l2engine.rules.forks import OP_FORKS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that choose a chain, and --fork for the dev chain."""
    parser.add_argument("--fork", default="jovian", choices=[fork.name for fork in OP_FORKS], help="the dev chain's fork (default jovian)")
    parser.add_argument(
        "--block-timestamps", default="strict", choices=BLOCK_TIMESTAMPS, help="the dev chain's rule, as for `dev` (default strict)"
    )
    settings.add_flags(parser, "network", "chain-file", "genesis", "override")


def run(args: argparse.Namespace) -> int:
    chosen = settings.resolve(args)
    document: dict[str, Any]
    if chosen.genesis is not None:
        content = {name: value for name, value in loader.read(chosen.genesis).items() if name.lower() != "config"}
        document = {"config": dict(assembly.read_genesis(chosen).geth_config), **content}
    elif chosen.network is not None:
        document = {"config": override_forks(registry(chosen.chain_file).find(chosen.network).geth_config(), chosen.override)}
    else:
        document = dev_genesis(args.fork, int(time.time()), equal_timestamps=args.block_timestamps == "shared")
    print(json.dumps(document, indent=2))
    return 0
