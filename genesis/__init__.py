"""Where chains begin: the registered chains' configuration facts, and the loader for geth-format genesis files."""
