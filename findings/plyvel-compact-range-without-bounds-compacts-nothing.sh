#!/usr/bin/env bash
# plyvel 1.5.1 (LevelDB's Python binding): `compact_range()` without bounds compacts nothing, although in LevelDB a missing bound means the
# end of all keys: an omitted start and an omitted stop both become the empty key. With bounds around the keys it compacts them.
# Seen with plyvel 1.5.1 on CPython 3.11, Linux.
#
# Who compacts "everything" before measuring, or before looking at the files, works on the tables as they were.
# Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check plyvel==1.5.1
"$folder/venv/bin/python" - "$folder/db" <<'PYTHON'
import sys

import plyvel


def tables() -> int:
    return sum(int(db.get_property(b"leveldb.num-files-at-level%d" % level)) for level in range(7))


for value in (b"old", b"new"):  # each opening moves the log of the one before into a table of its own
    db = plyvel.DB(sys.argv[1], create_if_missing=True)
    for number in range(100):
        db.put(b"key-%02d" % number, value)
    db.close()
db = plyvel.DB(sys.argv[1])
before = tables()
db.compact_range()
without_bounds = tables()
db.compact_range(start=b"key", stop=b"kez")
with_bounds = tables()
print(f"plyvel {plyvel.__version__}: tables {before}, after compact_range() {without_bounds}, after the same with bounds {with_bounds}")
sys.exit((before, without_bounds, with_bounds) != (2, 2, 1))
PYTHON
