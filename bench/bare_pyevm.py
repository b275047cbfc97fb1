"""How fast bare py-evm executes the benchmark's blocks: PragueVM's own state and account database, its trie included.

This is the yardstick of the reference executor (`bench/executors.py` runs both side by side). No OP rules, no deposits.
"""

import time
from collections.abc import Sequence
from typing import Any

import rlp
from eth.chains.base import MiningChain
from eth.consensus.noproof import NoProofConsensus
from eth.constants import ZERO_ADDRESS
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM


def bare_pyevm_seconds(
    alloc: dict[bytes, dict[str, Any]], transactions: Sequence[bytes], gas_limit: int, chain_id: int
) -> tuple[float, int]:
    """Seconds to execute `transactions` and compute the state root, and the gas they used.

    `alloc` maps addresses to balance, nonce, code and storage (slot to value), as py-evm's genesis state takes them.
    """
    vm_class = PragueVM.configure(consensus_class=NoProofConsensus)
    chain_class = MiningChain.configure("BenchChain", vm_configuration=((0, vm_class),), chain_id=chain_id)
    genesis = {
        "difficulty": 0,
        "coinbase": ZERO_ADDRESS,
        "gas_limit": gas_limit,
        "timestamp": 1_700_000_000,
        "base_fee_per_gas": 10**9,
        "excess_blob_gas": 0,
        "blob_gas_used": 0,
    }
    state = {a: {"balance": v["balance"], "nonce": v["nonce"], "code": v["code"], "storage": v["storage"]} for a, v in alloc.items()}
    chain = chain_class.from_genesis(AtomicDB(), genesis, state)
    vm = chain.get_vm()
    header = vm.get_header().copy(gas_limit=gas_limit)
    builder = vm.get_transaction_builder()
    decoded = [builder.decode(raw) if raw[0] < 0xC0 else rlp.decode(raw, builder) for raw in transactions]
    gas_used = 0
    started = time.perf_counter()
    for transaction in decoded:
        receipt, computation = vm.apply_transaction(header.copy(gas_used=0), transaction)
        gas_used += receipt.gas_used if computation is not None else 0
    vm.state.make_state_root()
    return time.perf_counter() - started, gas_used
