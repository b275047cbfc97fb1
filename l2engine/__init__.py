"""l2engine: an OP Stack execution engine.

Library users start with `l2engine.node.Node` (with ports) or `l2engine.assembly.open_chain` (without); see examples/embedded_engine.py.
Nothing is imported here, so that the command line starts quickly.
"""

__version__ = "0.1.0"
