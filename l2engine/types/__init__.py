"""The plain data that the engine's parts exchange: frozen dataclasses and bytes, no behaviour that needs a database."""
