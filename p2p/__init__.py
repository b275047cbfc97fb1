"""Peer-to-peer networking (discovery, RLPx, eth, snap)."""
