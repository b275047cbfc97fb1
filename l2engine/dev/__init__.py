"""What only a dev chain has: a sequencer of its own, and an L1 that is imagined. It drives the engine as a rollup node does."""
