"""miner_*: what op-batcher and operators set on the block builder while it runs."""

from rpc.context import Context
from rpc.errors import SERVER_ERROR, RpcError
from rpc.jsonrpc import method
from rpc.read.values import string, uint64, uint256

MAX_EXTRA_DATA = 32


def set_max_da_size(context: Context, max_transaction: int, max_block: int) -> bool:
    """Limit the estimated compressed size, in bytes, of pool transactions in a block, each and together; 0 is no limit."""
    builder = context.engine.builder
    builder.max_transaction_da_size, builder.max_block_da_size = max_transaction, max_block
    return True


def set_gas_price(context: Context, price: int) -> bool:
    """The lowest tip in wei for which the pool takes a transaction."""
    context.pool.minimum_tip = price
    return True


def set_gas_limit(context: Context, limit: int) -> bool:
    """Accepted for compatibility: on an OP chain the attributes set the gas limit."""
    return True


def set_extra(context: Context, extra: str) -> bool:
    """Accepted for compatibility: on an OP chain the attributes make the extraData."""
    if len(extra.encode()) > MAX_EXTRA_DATA:
        raise RpcError(SERVER_ERROR, f"extra exceeds max length. {len(extra.encode())} > {MAX_EXTRA_DATA}")
    return True


METHODS = {
    "miner_setMaxDASize": method(set_max_da_size, uint256, uint256),
    "miner_setGasPrice": method(set_gas_price, uint256),
    "miner_setGasLimit": method(set_gas_limit, uint64),
    "miner_setExtra": method(set_extra, string),
}
