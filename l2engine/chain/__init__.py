"""The chain: payloads in, verdicts out. `Engine` is the only writer."""
