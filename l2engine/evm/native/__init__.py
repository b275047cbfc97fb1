"""The native executor: the Rust core (`native/`) behind the same interface as the reference executor."""
