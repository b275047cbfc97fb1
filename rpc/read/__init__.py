"""Parsers from JSON to types for the arguments of methods, as strict as geth and with geth's error texts."""
