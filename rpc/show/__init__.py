"""From types to JSON: what op-geth shows of blocks, transactions, receipts, payloads and traces."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
