"""From types to JSON: what op-geth shows of blocks, transactions, receipts, payloads and traces."""
