"""Tests by writing whether a database's disk has room: space that the system reports as free may be reserved or beyond a quota."""

import contextlib
import os

_PROBE = "000000.dbtmp"  # should a kill leave it behind: LevelDB removes files with such names when it opens a directory
_SPARE_BYTES = 1 << 20
_CHUNK = bytes(1 << 20)


def has_room(path: str) -> bool:
    """Whether the directory has room for the data that opening its LevelDB may write: a copy of its logs, as a table."""
    probe = os.path.join(path, _PROBE)
    try:
        left = _SPARE_BYTES + sum(entry.stat().st_size for entry in os.scandir(path) if entry.name.endswith(".log"))
        with open(probe, "wb", buffering=0) as file:
            while left > 0:
                left -= file.write(_CHUNK[:left])
            os.fsync(file.fileno())
        return True
    except OSError:
        return False
    finally:
        with contextlib.suppress(OSError):
            os.unlink(probe)
