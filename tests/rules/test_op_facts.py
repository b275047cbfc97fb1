"""Every fact of op-facts: values stated by the tests of op-geth, op-reth, op-alloy, revm and the specification.

One check a kind. A kind without a check fails, and so does a fact whose expected values a check leaves unread.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
import rlp

from genesis.registry import registry
from l2engine.errors import DecodeError, InvalidAttributes, InvalidBlock, InvalidTransaction
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules import fees, forks, l1_attributes
from l2engine.rules.config import chain_config
from l2engine.rules.deposits import l1_attributes_source, upgrade_source, user_deposit_source
from l2engine.rules.eip1559 import decode_extra_data, encode_extra_data, validate_attributes
from l2engine.rules.forks import Fork
from l2engine.rules.l1_attributes import L1Attributes
from l2engine.rules.predeploys import CREATE2_DEPLOYER, create2_deployer_code
from l2engine.types.base import EMPTY_OMMERS_HASH, EMPTY_ROOT, keccak
from l2engine.types.environment import BlockEnv
from l2engine.types.header import Header
from l2engine.types.payload import PayloadAttributes
from l2engine.types.receipt import Log, Receipt
from l2engine.types.state import Account
from l2engine.types.transaction import DepositTransaction
from l2engine.types.transaction_codec import decode_transaction, encode_transaction
from l2engine.types.trie_root import ordered_root
from tests.helpers.vectors import VECTORS, needs_vectors
from tests.rules.headers import base_fee, validate_header

PATH = VECTORS / "op-facts/op-facts.json"
FACTS = json.loads(PATH.read_text())["facts"] if PATH.is_file() else []
TOTAL = 154

OP_SECTION = {"eip1559Elasticity": 6, "eip1559Denominator": 50, "eip1559DenominatorCanyon": 250}
RECEIPT_TYPES = {"legacy": 0, "eip2930": 1, "eip1559": 2, "eip4844": 3, "eip7702": 4, "deposit": 0x7E}
TRANSACTION_DEPOSITED = keccak(b"TransactionDeposited(address,address,uint256,bytes)")


class Expected:
    """A fact's expected values that remembers which ones were asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values, self.unread = values, set(values)

    def __getitem__(self, name: str) -> Any:
        self.unread.discard(name)
        return self._values[name]

    def get(self, name: str, default: Any) -> Any:
        self.unread.discard(name)
        return self._values.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def refuses(self) -> bool:
        """Whether an error is expected; its wording is the source's own."""
        self.unread.discard("error")
        return "error" in self._values


@needs_vectors
def test_all_facts_are_there():
    assert len(FACTS) == TOTAL
    assert {fact["kind"] for fact in FACTS} == set(CHECKS)


@needs_vectors
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact["id"])
def test_fact(fact: dict[str, Any]):
    expected = Expected(fact["expected"])
    CHECKS[fact["kind"]](fact["input"], expected)
    assert expected.unread == set()


# ---- fees -----------------------------------------------------------------------------------------------------------


def l1_cost(given: Any, expected: Expected) -> None:
    if "fastlz_size" in given:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(fees, "fast_lz_length", lambda raw: given["fastlz_size"])
            fee = fees.l1_fee(fork_of(given), b"\x02", L1Attributes(**given["params"]))
    else:
        fee = fees.l1_fee(fork_of(given), unhex(given["tx"]), L1Attributes(**given["params"]))
    _equal_or_greater(fee.fee, expected["l1_fee"])
    if "l1_gas_used" in expected:
        _equal_or_greater(fee.gas_used, expected["l1_gas_used"])


def _equal_or_greater(computed: int, stated: int | str) -> None:
    """Two facts only say "greater than N"."""
    if isinstance(stated, str):
        assert computed > int(stated.removeprefix("greater than "))
    else:
        assert computed == stated


def l1_data_gas(given: Any, expected: Expected) -> None:
    assert fees.data_gas(fork_of(given).l1_fee, unhex(given["tx"])) == expected["data_gas"]


def l1_cost_deduction(given: Any, expected: Expected) -> None:
    fee = fees.l1_fee(fork_of(given), unhex(given["tx"]), L1Attributes(**given["params"])).fee
    assert given["balance"] - fee == expected["balance"]


def fastlz_length(given: Any, expected: Expected) -> None:
    assert fees.fast_lz_length(unhex(given["data"])) == expected["length"]


def operator_fee(given: Any, expected: Expected) -> None:
    attributes = L1Attributes(operator_fee_scalar=given["scalar"], operator_fee_constant=given["constant"])
    assert fees.operator_fee(fork_of(given), given["gas"], attributes) == expected["fee"]


def receipt_l1_fields(given: Any, expected: Expected) -> None:
    from rpc.show.receipts import show_l1_costs

    if "system_tx" in given:
        system_tx, raw = unhex(given["system_tx"]), unhex(given["tx"])
    else:  # only the operator fee matters: put it into an Isthmus deposit
        attributes = L1Attributes(
            base_fee=1,
            base_fee_scalar=1,
            blob_base_fee_scalar=1,
            operator_fee_scalar=given["operator_fee_scalar"],
            operator_fee_constant=given["operator_fee_constant"],
        )
        data = l1_attributes.encode_calldata(l1_attributes.Format.ISTHMUS, attributes)
        system_tx, raw = encode_transaction(DepositTransaction(bytes(32), bytes(20), bytes(20), 0, 0, 0, False, data)), b"\x02"
    config = config_of(forks.FORKS_BY_NAME[given.get("fork", "isthmus")])
    costs = fees.l1_costs(config.fork_at(header().number, header().timestamp), (system_tx, raw))
    assert costs is not None
    fields = show_l1_costs(costs, raw)
    for name in sorted(expected.unread):
        assert (int(fields[name], 16) if name in fields else None) == expected[name], name


# ---- L1 attributes --------------------------------------------------------------------------------------------------

_ATTRIBUTE_NAMES = {
    "number": "number",
    "time": "timestamp",
    "base_fee": "base_fee",
    "l1_base_fee": "base_fee",
    "sequence_number": "sequence_number",
    "l1_fee_overhead": "overhead",
    "l1_fee_scalar": "scalar",
    "blob_base_fee": "blob_base_fee",
    "l1_blob_base_fee": "blob_base_fee",
    "base_fee_scalar": "base_fee_scalar",
    "l1_base_fee_scalar": "base_fee_scalar",
    "blob_base_fee_scalar": "blob_base_fee_scalar",
    "l1_blob_base_fee_scalar": "blob_base_fee_scalar",
    "operator_fee_scalar": "operator_fee_scalar",
    "operator_fee_constant": "operator_fee_constant",
    "da_footprint_gas_scalar": "da_footprint_gas_scalar",
}


def compare_attributes(attributes: L1Attributes, expected: Expected) -> None:
    for name in sorted(expected.unread):
        value = expected[name]
        if name == "block_hash":
            assert attributes.hash == unhex(value)
        elif name == "batcher_address":
            assert attributes.batcher == unhex(value)
        else:
            assert getattr(attributes, _ATTRIBUTE_NAMES[name]) == value, name


def l1_info_calldata(given: Any, expected: Expected) -> None:
    data = unhex(given["calldata"])
    if expected.refuses():
        with pytest.raises(DecodeError):
            l1_attributes.from_calldata(data)
        return
    attributes = l1_attributes.from_calldata(data)
    compare_attributes(attributes, expected)
    form = l1_attributes.calldata_format(data)
    assert form is not None and l1_attributes.encode_calldata(form, attributes) == data


def l1_info_tx(given: Any, expected: Expected) -> None:
    compare_attributes(l1_attributes.from_calldata(decode_transaction(unhex(given["deposit_tx"])).data), expected)


def l1_block_storage(given: Any, expected: Expected) -> None:
    slots = {int(slot, 16): int(value, 16) for slot, value in given["storage"].items()}
    compare_attributes(l1_attributes.from_storage(lambda slot: slots.get(slot, 0)), expected)


# ---- deposits -------------------------------------------------------------------------------------------------------


def deposit_tx(given: Any, expected: Expected) -> None:
    raw = unhex(given["encoded"])
    tx = decode_transaction(raw)
    assert tx.type == 0x7E
    assert (tx.source_hash, tx.sender, tx.data) == (unhex(expected["source_hash"]), unhex(expected["from"]), unhex(expected["data"]))
    assert tx.to == (unhex(expected["to"]) if expected["to"] else None)
    assert (tx.mint, tx.value, tx.gas, tx.is_system_transaction) == (
        (expected["mint"] or 0, expected["value"], expected["gas"], expected["is_system_tx"])
    )
    assert tx.hash == unhex(expected["tx_hash"])
    assert (
        encode_transaction(
            DepositTransaction(tx.source_hash, tx.sender, tx.to, tx.mint, tx.value, tx.gas, tx.is_system_transaction, tx.data)
        )
        == raw
    )


def upgrade_deposit_tx(given: Any, expected: Expected) -> None:
    deposit_tx(given, expected)
    assert decode_transaction(unhex(given["encoded"])).source_hash == upgrade_source(given["intent"])


def source_hash(given: Any, expected: Expected) -> None:
    if given["kind"] == "upgrade":
        computed = upgrade_source(given["intent"])
    else:
        computed = l1_attributes_source(unhex(given["l1_block_hash"]), given["sequence_number"])
    assert computed == unhex(expected["source_hash"])


def deposit_log(given: Any, expected: Expected) -> None:
    """Reading events of L1 is the rollup node's work. A reader stands here so that the encoding of the deposit and its
    source hash are checked; what a node must refuse shows only that the facts are understood."""
    if expected.refuses():
        with pytest.raises(ValueError):
            _deposit_from_event(given)
    else:
        assert _deposit_from_event(given) == unhex(expected["encoded"])


def _deposit_from_event(given: Any) -> bytes:
    topics, data = [unhex(topic) for topic in given["topics"]], unhex(given["data"])
    if topics[0] != TRANSACTION_DEPOSITED or any(topic[:12] != bytes(12) for topic in topics[1:3]) or topics[3] != bytes(32):
        raise ValueError("not a deposit event of version 0")
    length = int.from_bytes(data[32:64], "big")
    opaque = data[64:]
    if len(data) % 32 or not 73 <= length <= len(opaque):
        raise ValueError("wrong length")
    mint, value, gas = (int.from_bytes(part, "big") for part in (opaque[:32], opaque[32:64], opaque[64:72]))
    source = user_deposit_source(unhex(given["l1_block_hash"]), given["log_index"])
    to = None if opaque[72] else topics[2][12:]
    return encode_transaction(DepositTransaction(source, topics[1][12:], to, mint, value, gas, False, opaque[73:length]))


class EmptyState:
    """A state with one funded account."""

    def __init__(self, accounts: dict[bytes, int]) -> None:
        self.accounts = {address: Account(balance=balance) for address, balance in accounts.items()}

    def account(self, address: bytes) -> Account | None:
        return self.accounts.get(address)

    def storage(self, address: bytes, slot: int) -> int:
        return 0

    def code(self, code_hash: bytes) -> bytes:
        return b""

    def block_hash(self, number: int) -> bytes | None:
        return None


SENDER, RECEIVER = b"\x0a" * 20, b"\x0b" * 20


def run_deposit(fork: Fork, mint: int = 0, balance: int = 0, gas: int = 100_000, is_system: bool = False):
    """One deposit through the reference executor; its result and the block's."""
    parent = header()
    env = BlockEnv(
        1, parent.timestamp + 2, 30_000_000, bytes(20), bytes(32), 7, parent, bytes(32) if fork.has(forks.L1Rules.CANCUN) else None, 0
    )
    block = ReferenceExecutor(config_of(fork)).begin(EmptyState({SENDER: balance}), env)
    result = block.apply(encode_transaction(DepositTransaction(bytes(32), SENDER, RECEIVER, mint, 0, gas, is_system, b"")))
    return result, block.finish()


def deposit_gas(given: Any, expected: Expected) -> None:
    """The fact's gas limit of 100 is of a mocked execution: here a plain call leaves gas over as well."""
    whole = 100_000
    result, _ = run_deposit(fork_of(given), gas=whole, is_system=given["is_system_tx"])
    assert result.receipt.status == 1
    assert result.gas_used == {given["gas_limit"]: whole, 0: 0}[expected["gas_used"]]


def deposit_mint(given: Any, expected: Expected) -> None:
    for fork in forks.OP_FORKS:
        _, block = run_deposit(fork, mint=given["mint"], balance=given["balance"])
        assert block.diff.accounts[SENDER].account.balance == expected["balance"], fork.name


def deposit_validity(given: Any, expected: Expected) -> None:
    if expected.refuses():
        with pytest.raises((InvalidBlock, InvalidTransaction)):
            run_deposit(fork_of(given), is_system=given["is_system_tx"])
    else:
        assert expected["valid"]
        run_deposit(fork_of(given), is_system=given["is_system_tx"])


# ---- receipts -------------------------------------------------------------------------------------------------------


def receipt_of(fields: Any) -> Receipt:
    logs = tuple(Log(unhex(log["address"]), tuple(map(unhex, log["topics"])), unhex(log["data"])) for log in fields["logs"])
    return Receipt(
        RECEIPT_TYPES[fields["type"]],
        fields["status"],
        fields["cumulative_gas_used"],
        logs,
        deposit_nonce=fields.get("deposit_nonce"),
        deposit_receipt_version=fields.get("deposit_receipt_version"),
    )


def with_bloom(given: Any, encode: Callable[[], Any]) -> Any:
    """Some facts state a bloom that is not that of the logs."""
    with pytest.MonkeyPatch.context() as patch:
        if "logs_bloom_override" in given:
            patch.setattr(Receipt, "bloom", unhex(given["logs_bloom_override"]))
        return encode()


def receipts_root(given: Any, expected: Expected) -> None:
    receipts = [receipt_of(fields) for fields in given["receipts"]]
    keeps_nonce = fork_of(given).deposit_receipt_version is not None  # real receipts of Canyon also have a version, these not
    root = with_bloom(given, lambda: ordered_root([item.encode() if keeps_nonce else item.encode_for_root() for item in receipts]))
    assert root == unhex(expected["receipts_root"])


def receipt_encoding(given: Any, expected: Expected) -> None:
    encoded = with_bloom(given, receipt_of(given["receipt"]).encode)
    if "binary" in expected:
        assert encoded == unhex(expected["binary"])
    if "network_rlp" in expected:
        assert (encoded if encoded[0] >= 0xC0 else rlp.encode(encoded)) == unhex(expected["network_rlp"])


# ---- headers and attributes -----------------------------------------------------------------------------------------


def extra_data_decode(given: Any, expected: Expected) -> None:
    if expected.refuses():
        with pytest.raises(InvalidBlock):
            decode_extra_data(fork_of(given), unhex(given["extra_data"]))
        return
    parameters = decode_extra_data(fork_of(given), unhex(given["extra_data"]))
    assert (parameters.denominator, parameters.elasticity) == (expected["denominator"], expected["elasticity"])
    assert parameters.min_base_fee == expected.get("min_base_fee", 0)


def extra_data_encode(given: Any, expected: Expected) -> None:
    fork, parameters, minimum = fork_of(given), unhex(given["eip1559_params"] or ""), given.get("min_base_fee")
    if expected.refuses():
        with pytest.raises(InvalidAttributes):
            validate_attributes(fork, parameters or None, minimum)
        return
    encoded = encode_extra_data(config_of(fork, given["chain_defaults"]), fork, parameters or None, minimum)
    assert encoded == unhex(expected["extra_data"])


def payload_attributes(given: Any, expected: Expected) -> None:
    assert expected.refuses()
    with pytest.raises(InvalidAttributes):
        validate_attributes(fork_of(given), unhex(given["eip1559Params"]), given["minBaseFee"])


def next_base_fee(given: Any, expected: Expected) -> None:
    defaults = {name: given[name] for name in ("denominator", "elasticity") if name in given} or given.get("chain_defaults", {})
    if "fork" in given:
        config = config_of(fork_of(given), defaults)
    else:
        config = chain_config({"chainId": 1, "londonBlock": 0})
        assert defaults == {"denominator": config.eip_1559.denominator, "elasticity": config.eip_1559.elasticity}
    parent = header(
        base_fee_per_gas=given["parent_base_fee"],
        gas_limit=given["parent_gas_limit"],
        gas_used=given["parent_gas_used"],
        extra_data=unhex(given.get("parent_extra_data", "0x")),
        blob_gas_used=given.get("parent_blob_gas_used"),
    )
    if expected.refuses():
        with pytest.raises(InvalidBlock):
            base_fee(config, parent, 1, 102)
    else:
        assert base_fee(config, parent, 1, 102) == expected["base_fee"]


def gas_limit_bound(given: Any, expected: Expected) -> None:
    number = given["parent_number"] + 1
    config = chain_config({"chainId": 1, "londonBlock": given["london_block"]})
    is_london = given["parent_number"] >= given["london_block"]
    parent = header(
        number=given["parent_number"],
        gas_limit=given["parent_gas_limit"],
        gas_used=given["parent_gas_limit"] // 2,
        base_fee_per_gas=10**9 if is_london else None,
    )
    child = header(number=number, timestamp=102, gas_limit=given["gas_limit"], base_fee_per_gas=10**9)
    if expected["valid"]:
        validate_header(config, child, parent)
    else:
        with pytest.raises(InvalidBlock, match="gas limit"):
            validate_header(config, child, parent)


def payload_id(given: Any, expected: Expected) -> None:
    from l2engine.chain.payload import payload_id as compute

    fields = given["attributes"]
    assert not fields["withdrawals"]
    attributes = PayloadAttributes(
        timestamp=fields["timestamp"],
        prev_randao=unhex(fields["prevRandao"]),
        suggested_fee_recipient=unhex(fields["suggestedFeeRecipient"]),
        withdrawals=None if fields["withdrawals"] is None else (),
        parent_beacon_block_root=unhex(fields["parentBeaconBlockRoot"]) if fields["parentBeaconBlockRoot"] else None,
        transactions=tuple(map(unhex, fields["transactions"] or ())),
        no_tx_pool=bool(fields["noTxPool"]),
        gas_limit=fields["gasLimit"],
        eip_1559_params=unhex(fields["eip1559Params"]) if fields["eip1559Params"] else None,
        min_base_fee=fields["minBaseFee"],
    )
    assert compute(unhex(given["parent"]), attributes, given["version"]) == unhex(expected["payload_id"])


# ---- the rest -------------------------------------------------------------------------------------------------------


def precompile_input_limit(given: Any, expected: Expected) -> None:
    assert fork_of(given).precompile_input_limits[int(given["address"], 16)] == expected["max_input_bytes"]
    assert expected["longer_input"] == "fails and consumes all gas given"  # run in tests/evm/test_precompiles.py


def precompile_call(given: Any, expected: Expected) -> None:
    from l2engine.evm.reference.precompiles import precompiles

    class Message:
        data_as_bytes = data = unhex(given["data"])

    class Computation:
        msg, output = Message, b""
        consume_gas = staticmethod(lambda amount, reason: None)

    precompiles(fork_of(given))[int(given["address"], 16).to_bytes(20, "big")](Computation)
    assert Computation.output == unhex(expected["output"])


def protocol_version(given: Any, expected: Expected) -> None:
    """Only what deciding to halt needs is read: major, minor and patch."""
    from rpc.methods.engine.superchain import _version

    assert expected["type"] == unhex(given["encoded"])[0] == 0
    assert unhex(expected["build"]) == unhex(given["encoded"])[8:16]
    assert _version(unhex(given["encoded"])) == (expected["major"], expected["minor"], expected["patch"])
    assert expected["pre_release"] == 0
    assert expected["display"].startswith("v42.0.2")


def canyon_code(given: Any, expected: Expected) -> None:
    assert unhex(given["address"]) == CREATE2_DEPLOYER
    assert keccak(create2_deployer_code()) == unhex(expected["code_hash"])


def genesis_hash(given: Any, expected: Expected) -> None:
    (chain,) = (chain for chain in registry().chains.values() if chain.chain_id == given["chain_id"])
    assert chain.block_0_hash == unhex(expected["block_hash"])  # computed in tests/genesis/test_chains.py


CHECKS: dict[str, Callable[[Any, Expected], None]] = {
    check.__name__: check
    for check in (
        canyon_code, deposit_gas, deposit_log, deposit_mint, deposit_tx, deposit_validity, extra_data_decode, extra_data_encode,
        fastlz_length, gas_limit_bound, genesis_hash, l1_block_storage, l1_cost, l1_cost_deduction, l1_data_gas, l1_info_calldata,
        l1_info_tx, next_base_fee, operator_fee, payload_attributes, payload_id, precompile_call, precompile_input_limit,
        protocol_version, receipt_encoding, receipt_l1_fields, receipts_root, source_hash, upgrade_deposit_tx,
    )
}  # fmt: skip


def fork_of(given: Any) -> Fork:
    return forks.FORKS_BY_NAME[given["fork"].split(",")[0]]


def config_of(fork: Fork, constants: dict[str, int] | None = None):
    """A chain on which `fork` holds from genesis on; one fact's pair of constants serves before and after Canyon."""
    section = dict(OP_SECTION)
    if constants:
        section = {
            "eip1559Elasticity": constants["elasticity"],
            "eip1559Denominator": constants["denominator"],
            "eip1559DenominatorCanyon": constants["denominator"],
        }
    active = forks.OP_FORKS[1 : forks.OP_FORKS.index(fork) + 1]
    return chain_config({"chainId": 901, "bedrockBlock": 0, "optimism": section} | {row.name + "Time": 0 for row in active})


def header(**changes: Any) -> Header:
    fields: dict[str, Any] = {
        "parent_hash": bytes(32),
        "ommers_hash": EMPTY_OMMERS_HASH,
        "beneficiary": bytes(20),
        "state_root": EMPTY_ROOT,
        "transactions_root": EMPTY_ROOT,
        "receipts_root": EMPTY_ROOT,
        "logs_bloom": bytes(256),
        "difficulty": 0,
        "number": 0,
        "gas_limit": 30_000_000,
        "gas_used": 0,
        "timestamp": 100,
        "extra_data": b"",
        "prev_randao": bytes(32),
        "nonce": bytes(8),
        "base_fee_per_gas": 7,
    }
    return Header(**fields | changes)


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
