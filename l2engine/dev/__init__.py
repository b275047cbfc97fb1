"""The parts that only a dev chain has: its own sequencer and an imagined L1. They drive the engine as a rollup node does."""
