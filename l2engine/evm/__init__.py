"""Executing blocks: the block loop, the two executors under it, their comparison, and tracers.

py-evm's classes never leave `reference/`, the Rust core's never leave `native/`.
"""
