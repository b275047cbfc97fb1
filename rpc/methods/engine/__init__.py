"""The engine_* methods, a file per subject."""
