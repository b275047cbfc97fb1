"""l2engine: an OP Stack execution engine. The version and the names a library user needs."""

__version__ = "0.1.0"
