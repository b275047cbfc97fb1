"""Whether the disk below a database has room, found by writing: what the system calls free may be reserved, or beyond a quota."""

import contextlib
import os

_PROBE = "000000.dbtmp"  # LevelDB removes files with such names when it opens a directory, should a kill leave it behind
_SPARE_BYTES = 1 << 20
_CHUNK = bytes(1 << 20)


def has_room(path: str) -> bool:
    """Whether the directory takes as much as opening the LevelDB in it may write: its logs once more, as a table."""
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
