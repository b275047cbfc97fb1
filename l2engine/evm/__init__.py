"""Executing transactions: the py-evm reference executor and what belongs to it. py-evm classes never leave this folder."""
