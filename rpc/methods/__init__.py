"""The RPC methods: a file per namespace, with its table `METHODS` at the foot."""
