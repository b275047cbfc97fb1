"""What the chain demands, fork by fork: pure functions over plain data, no state, no I/O."""
