"""The native core (`native/`), None where it is not installed."""

import os
from typing import Any

# Its allocator takes memory as it is used, not by the arena: a dev chain in use takes half as much. Read when the core is loaded.
os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")

try:
    import l2engine_native
except ImportError:
    l2engine_native = None

core: Any = l2engine_native


class InNativeCore:
    """A view or a diff that is kept in the native core, which takes it back as `native` instead of asking for its parts."""

    native: Any
