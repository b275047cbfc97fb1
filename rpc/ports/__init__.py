"""Input and output: the HTTP and WebSocket ports with their access checks, subscriptions, and requests to the sequencer."""
