"""Execution witnesses, in the form of reth's debug_executionWitness."""

from l2engine.chain.witness import ExecutionWitness


def show_witness(witness: ExecutionWitness) -> dict[str, list[str]]:
    """Trie nodes, code, keys and headers, each a list of hex."""
    return {name: ["0x" + item.hex() for item in getattr(witness, name)] for name in ("state", "codes", "keys", "headers")}
