"""Where bytes come from and go to: the HTTP and WebSocket ports, who may use them, subscriptions, and the sequencer's port."""
