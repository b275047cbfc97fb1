"""The native core (`native/`), or None if it is not installed."""

import os
from typing import Any

# Let its allocator commit memory as it is used, not a whole arena at once, which halves the memory of a dev chain in use.
# The allocator reads this variable when the core is loaded.
os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")

try:
    import l2engine_native
except ImportError:
    l2engine_native = None

core: Any = l2engine_native


class InNativeCore:
    """A view or a diff whose data is in the native core. `native` is passed back to the core as a whole, without reading its parts."""

    native: Any
