"""The eth_* methods, a file per subject."""
