"""Every kind of fact has a test somewhere: a new one must not pass unread."""

import json

import pytest

from tests.lagoon.facts import FOLDER

HERE = {"post_exec_tx", "post_exec_decode", "transactions_root", "post_exec_receipt", "receipts_root", "rpc_transaction"}
HERE |= {"rpc_transaction_reader", "rpc_receipt", "rpc_op_gas_refund", "next_base_fee_after_refunds", "da_footprint", "fork_id"}
HERE |= {"configuration", "activation", "upgrade_transaction", "interop_message", "interop_pool"}
WHERE_BLOCKS_RUN = {"post_exec_block_rule", "post_exec_new_payload", "settlement", "settlement_balances", "gas_accounting"}
WHERE_BLOCKS_ARE_BUILT = {"activation_run", "activation_block_user_transaction", "warming_policy"}


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no Lagoon vectors at {FOLDER} (set L2ENGINE_VECTORS)")
def test_every_kind_is_known() -> None:
    found = {fact["kind"] for path in FOLDER.glob("*.json") for fact in json.loads(path.read_text())["facts"]}
    assert found <= HERE | WHERE_BLOCKS_RUN | WHERE_BLOCKS_ARE_BUILT
