#!/usr/bin/env bash
# LevelDB (here through plyvel 1.5.1): a put that fails because the log file could not grow (a limit on its size here, a full disk just
# as well) raises an error, but the next puts succeed again once there is room, are readable, and are gone after the database has been
# closed and opened: the torn record ends the log for recovery, and what was appended behind it is dropped without an error or a
# warning. Also with sync=True. Seen with plyvel 1.5.1 on CPython 3.11, Linux.
#
# Who wants what was acknowledged to stay must close and reopen the database after any failed write, before the next one.
# Exits 0 while the behaviour is as described, 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check plyvel==1.5.1
"$folder/venv/bin/python" - "$folder/db" <<'PYTHON'
import os
import resource
import signal
import sys

import plyvel

path = sys.argv[1]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write then fails with EFBIG
db = plyvel.DB(path, create_if_missing=True)
db.put(b"before", b"1", sync=True)

unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, unlimited[1]))
try:
    db.put(b"large", os.urandom(20_000), sync=True)
    failed = False
except plyvel.Error as error:
    failed = True
    print("the write that does not fit:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)

db.put(b"after", b"2", sync=True)  # no error
seen = db.get(b"after")
db.close()
db = plyvel.DB(path)
kept = {key: db.get(key) for key in (b"before", b"after")}
print(f"plyvel {plyvel.__version__}: failed {failed}, 'after' read back at once {seen}, after reopening {kept}")
sys.exit((failed, seen, kept) != (True, b"2", {b"before": b"1", b"after": None}))
PYTHON
