"""The rules of the chain, fork by fork: pure functions over plain data, without state or I/O."""
