"""Plain data that crosses every border of the engine: frozen dataclasses and bytes, no behaviour that needs a database."""
