#!/usr/bin/env bash
# plyvel 1.5.1 (LevelDB's Python binding): a reverse iterator over a range in which the start key is the only key yields nothing, although
# the start is inclusive: forwards the same range yields it, and with one more key in the range the reverse iterator yields it as well.
# Seen with plyvel 1.5.1 on CPython 3.11, Linux.
#
# Who looks for "the newest row from this one on" by going backwards finds nothing exactly when there is no other row.
# Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check plyvel==1.5.1
"$folder/venv/bin/python" - "$folder/db" <<'PYTHON'
import sys

import plyvel

db = plyvel.DB(sys.argv[1], create_if_missing=True)
for key in (b"row-1", b"row-2", b"zzz"):
    db.put(key, b"")


def keys(reverse: bool) -> list[bytes]:
    return list(db.iterator(start=b"row-2", stop=b"row-9", reverse=reverse, include_value=False))


forward, backward = keys(reverse=False), keys(reverse=True)
db.put(b"row-3", b"")
with_another = keys(reverse=True)
print(f"plyvel {plyvel.__version__}: forward {forward}, reverse {backward}, reverse with another key in the range {with_another}")
sys.exit((forward, backward, with_another) != ([b"row-2"], [], [b"row-3", b"row-2"]))
PYTHON
