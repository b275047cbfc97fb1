"""The command line: finds the subcommand, lets its module define its arguments, and turns errors into exit statuses.

`l2engine` without a subcommand means `l2engine run`. A command's module is imported only when the command is called, after the
handling of Ctrl-C is set up.
"""

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import Any, NoReturn

from l2engine import __version__
from l2engine.errors import L2EngineError, StoreUnreadable

COMMANDS = {
    "run": "run a node, driven by a rollup node through the Engine API",
    "dev": "run a chain of our own with funded accounts",
    "init": "write a genesis into a data directory and print its hash",
    "import": "execute the blocks of an RLP chain file",
    "export": "write the canonical chain to an RLP chain file",
    "rewind": "make an earlier block the head",
    "replay": "execute witness files",
    "statetest": "run ethereum/tests state tests",
    "blocktest": "run ethereum/tests blockchain tests",
    "db": "check a database (verify) or count its rows (stats)",
    "dumpgenesis": "print the genesis of a chain as JSON",
    "dumpconfig": "print the settings as TOML",
    "version": "print the version",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["-h"], ["-help"], ["--help"], ["help"]):
        print(_overview())
        return 0
    if words[:1] in (["-v"], ["-version"], ["--version"]):
        words = ["version"]
    name = words.pop(0) if words and not words[0].startswith("-") else "run"
    try:
        _interrupt_on_every_signal()
        status = _run(name, words)
        sys.stdout.flush()
        return status
    except L2EngineError as error:
        hint = " (docs/operations.md says what to do with a damaged database)" if isinstance(error, StoreUnreadable) else ""
        print(f"l2engine: {error}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:  # one of the user's files or folders cannot be used
        where = f"{error.filename}: " if error.filename else ""
        print(f"l2engine: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def _interrupt_on_every_signal() -> None:
    """Let SIGTERM, and a terminal that goes away, end a command as Ctrl-C does, so that it cleans up. `nohup` stays in force."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(name: str, words: Sequence[str]) -> int:
    from l2engine.settings import hint, parse_arguments

    if name not in COMMANDS:
        print(f"l2engine: unknown command {name!r}{hint(name, COMMANDS)}\n\n{_overview()}", file=sys.stderr)
        return 2
    module = importlib.import_module("l2engine.commands." + {"import": "import_"}.get(name, name))
    parser = _Parser(prog=f"l2engine {name}", description=module.__doc__, allow_abbrev=False, formatter_class=_Help)
    module.add_arguments(parser)
    status: int = module.run(parse_arguments(parser, words))
    return status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with the message, without argparse's usage text, which with eighty flags would hide it."""
        self.exit(2, f"{self.prog}: {message} (see `{self.prog} --help`)\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=120)

    def add_usage(self, usage: str | None, actions: Iterable[argparse.Action], groups: Any, prefix: str | None = None) -> None:
        """Add the usage as one line; the flags, up to eighty, are listed below it."""
        words = [self._format_args(action, action.dest) for action in actions if not action.option_strings]
        super().add_usage(" ".join([self._prog, "[FLAGS]", *words]), (), (), prefix)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """All names of a flag, followed by its value once."""
        if not action.option_strings:
            return super()._format_action_invocation(action)
        value = "" if action.nargs == 0 else self._format_args(action, action.dest.upper())
        return f"{', '.join(action.option_strings)} {value}".rstrip()


def _overview() -> str:
    rows = "\n".join(f"  {name:<12} {text}" for name, text in COMMANDS.items())
    return f"l2engine {__version__}: an OP Stack execution engine\n\nusage: l2engine [COMMAND] [FLAGS]\n\n{rows}\n\n`l2engine COMMAND --help` lists a command's flags."


if __name__ == "__main__":
    sys.exit(main())
