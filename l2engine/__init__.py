"""l2engine: an OP Stack execution engine.

Library users begin with `l2engine.node.Node` (with ports) or `l2engine.assembly.open_chain` (without), see examples/embedded_engine.py.
Nothing is imported here, so that the command line answers at once.
"""

__version__ = "0.1.0"
