"""JSON-RPC over HTTP and WebSocket: the Engine API, eth_*, debug_* and the rest. Imports `l2engine`, never the reverse."""
