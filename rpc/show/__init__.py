"""From types to JSON: blocks, transactions, receipts, payloads and traces in op-geth's form."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
