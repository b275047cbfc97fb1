"""Witnesses: whatever a block does, its witness alone gives its hash again, on either executor."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rlp
from hypothesis import given, settings
from hypothesis import strategies as st

from l2engine.__main__ import main
from l2engine.chain.process import block_env, seal
from l2engine.chain.witness import Witnesses
from l2engine.chain.witness_file import witness_document
from l2engine.conformance import witness
from l2engine.conformance.world import World
from l2engine.errors import DecodeError, InvalidBlock, InvalidTransaction, StoreError
from l2engine.evm.native.machine import NativeExecutor
from l2engine.evm.reference.machine import ReferenceExecutor
from l2engine.rules.config import ChainConfig, geth_config
from l2engine.rules.forks import SHANGHAI
from l2engine.store.blocks import BlockStore
from l2engine.store.genesis import write_genesis
from l2engine.store.kv import MemoryKeyValue
from l2engine.store.native import NativeKeyValue, NativeState
from l2engine.store.state import LayeredState
from l2engine.types.base import EMPTY_BLOOM, EMPTY_OMMERS_HASH, EMPTY_ROOT, Address, encode_int, keccak
from l2engine.types.block import Block, decode_block
from l2engine.types.genesis import GenesisAccount
from l2engine.types.header import Header
from l2engine.types.state import Account
from rpc.show.witnesses import show_witness
from tests.agreement.fuzz import FORKS, RandomBlock, random_block, rules
from tests.helpers import in_process
from tests.helpers.dev_chain import Forge, document, funded
from tests.helpers.in_process import InProcess
from tests.helpers.vectors import VECTORS, json_lines, needs_vectors

EXECUTORS = {"py": ReferenceExecutor, "native": NativeExecutor}


def assert_replays(config: ChainConfig, answer: dict[str, Any], block: Block, made_by: str | None = None) -> None:
    """The witness in debug_executionWitness's form gives the block's hash on both executors, and lacks nothing for the one
    that it was made by."""
    made = witness.from_json({"config": geth_config(config), "block": "0x" + block.encode().hex(), **answer})
    for name, executor in EXECUTORS.items():
        assert witness.execute(made, executor(config)).hash == block.hash
        if name == made_by:
            state = witness.WitnessState(made.parent, made.preimages)
            witness.run(made, executor(config), state)
            assert not state.missing


# ---- recorded chains ------------------------------------------------------------------------------------------------


def fed(folder: Path, evm: str) -> Iterator[tuple[InProcess, dict[str, Any]]]:
    """A node that is given a recorded chain block by block."""
    node = InProcess(folder / "genesis.json", evm=evm)
    for row in json_lines(folder / "blocks.jsonl.gz"):
        call = row["newPayload"]
        assert node.call(f"engine_newPayloadV{call['version']}", *call["params"])["status"] == "VALID"
        head = row.get("forkchoiceAfter") or row["setHead"]
        node.call("engine_forkchoiceUpdatedV3", *head["params"])
        yield node, row


CHAINS = [("recordings", name) for name in ("bedrock", "canyon", "granite", "ladder")] + [("recordings-upgrades", "canyon")]


@needs_vectors
@pytest.mark.parametrize("evm", ["py", "native"])
@pytest.mark.parametrize(("family", "chain"), CHAINS)
def test_every_recorded_block_replays(family: str, chain: str, evm: str) -> None:
    for node, row in fed(VECTORS / family / chain, evm):
        answer = node.call("debug_executionWitness", hex(row["number"]))
        assert set(answer) == {"state", "codes", "keys", "headers"}
        block = decode_block(bytes.fromhex(node.call("debug_getRawBlock", hex(row["number"]))[2:]))
        assert "0x" + block.hash.hex() == row["hash"]
        assert_replays(node.genesis.config, answer, block, evm)


@needs_vectors
@pytest.mark.parametrize("evm", ["py", "native"])
def test_blocks_of_the_past_replay_as_far_as_proofs_are_kept(evm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_state(kv: Any, settings: Any) -> Any:
        return (NativeState if settings.evm == "native" else LayeredState)(kv, layers=5, history_proofs=20)

    monkeypatch.setattr(in_process, "open_state", open_state)
    *_, (node, _) = fed(VECTORS / "recordings" / "isthmus", evm)
    refused = []
    for number in range(1, node.engine.head.number + 1):
        answer = node.call("debug_executionWitness", hex(number))
        if "error" in answer:
            assert answer["error"]["code"] == -32000
            refused.append(number)
            continue
        block = decode_block(bytes.fromhex(node.call("debug_getRawBlock", hex(number))[2:]))
        assert_replays(node.genesis.config, answer, block, evm)
    assert refused == list(range(1, len(refused) + 1)) and 5 < len(refused) < 20


@needs_vectors
@pytest.mark.parametrize(("chain", "evm"), [("regolith", "py"), ("holocene", "native"), ("ladder", "native")])
def test_payload_attributes_give_the_witness_of_the_block_they_make(chain: str, evm: str) -> None:
    for node, row in fed(VECTORS / "recordings" / chain, evm):
        payload = row["newPayload"]["params"][0]
        attributes = {**row["forkchoiceUpdated"]["params"][1], "transactions": payload["transactions"], "noTxPool": True}
        answer = node.call("debug_executePayload", payload["parentHash"], attributes)
        block = decode_block(bytes.fromhex(node.call("debug_getRawBlock", row["hash"])[2:]))
        assert_replays(node.genesis.config, answer, block, evm)


def test_attributes_with_a_refused_transaction_serve_the_block_of_deposits_alone() -> None:
    forge = Forge(document("holocene"))
    alice = funded("alice")
    refused = alice.sign(nonce=1000)
    attributes = forge.attributes(forge.genesis, refused, alice.sign(to=bytes([9]) * 20, value=1, nonce=0))
    answer = show_witness(forge.engine.witnesses.of_attributes(NativeExecutor(forge.engine.config), forge.genesis, attributes))
    assert_replays(forge.engine.config, answer, forge.block(forge.genesis))
    assert "0x" + (bytes([9]) * 20).hex() in answer["keys"]


def test_what_has_no_witness() -> None:
    node = InProcess(document())
    genesis = "0x" + node.genesis.hash.hex()
    assert "genesis" in node.call("debug_executionWitness", "0x0")["error"]["message"]
    assert node.call("debug_executionWitness", "0x5")["error"] == {"code": -32000, "message": "block not found"}
    assert node.call("debug_executionWitness", "0x" + "12" * 32)["error"]["code"] == -32000
    attributes = {"timestamp": "0x70000000", "prevRandao": "0x" + "00" * 32, "suggestedFeeRecipient": "0x" + "00" * 20}
    assert node.call("debug_executePayload", "0x" + "12" * 32, attributes)["error"]["message"] == "parent block not found"
    assert node.call("debug_executePayload", genesis, attributes)["error"]["code"] == -38003  # gasLimit is missing
    assert node.call("debug_executePayload", genesis)["error"]["code"] == -32602


# ---- random blocks --------------------------------------------------------------------------------------------------


def stored(block: RandomBlock, native: bool) -> tuple[Any, BlockStore, Header]:
    """The random world as the genesis of a store, and its header."""
    world = block.world
    alloc = {
        address: GenesisAccount(account.balance, account.nonce, world.code(account.code_hash), world.storages.get(address, {}))
        for address, account in world.accounts.items()
    }
    genesis = Block(replace(block.env.parent, number=0, state_root=world.root), ())
    kv = NativeKeyValue(None) if native else MemoryKeyValue()
    write_genesis(kv, genesis, alloc, b"{}")
    return NativeState(kv) if isinstance(kv, NativeKeyValue) else LayeredState(kv), BlockStore(kv), genesis.header


def sealed(block: RandomBlock, state: Any, parent: Header, executor: Any) -> Block:
    """The random block as a child of `parent`, with the transactions that can stand in it."""
    env = block.env
    draft = Header(
        parent_hash=parent.hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        beneficiary=env.beneficiary,
        state_root=EMPTY_ROOT,
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=0,
        number=1,
        gas_limit=env.gas_limit,
        gas_used=0,
        timestamp=env.timestamp,
        extra_data=b"",
        prev_randao=env.prev_randao,
        nonce=bytes(8),
        base_fee_per_gas=env.base_fee_per_gas,
        excess_blob_gas=env.excess_blob_gas,
        parent_beacon_block_root=env.parent_beacon_block_root,
    )
    empty = Block(draft, (), withdrawals=env.withdrawals)
    execution = executor.begin(state.view(parent.hash), block_env(block.config, empty, parent))
    raws = []
    for raw in block.transactions:
        try:
            execution.apply(raw)
        except (InvalidTransaction, DecodeError):
            continue
        raws.append(raw)
    result = execution.finish()
    fork = block.config.fork_at(1, env.timestamp)
    whole = replace(empty, transactions=tuple(raws))
    return replace(whole, header=seal(draft, fork, whole, result, state.prepare(parent.hash, result.diff), state))


@pytest.mark.parametrize("evm", EXECUTORS)
@pytest.mark.parametrize("seed", range(64))
def test_random_blocks_replay(seed: int, evm: str) -> None:
    random = random_block(seed)
    executor = EXECUTORS[evm](random.config)
    state, blocks, parent = stored(random, native=evm == "native")
    try:
        block = sealed(random, state, parent, executor)
    except InvalidBlock:
        return  # a requests contract that fails: no block
    made = Witnesses(random.config, state, blocks).of_block([executor], parent, block)
    assert_replays(random.config, show_witness(made), block, evm)


# ---- deletions, for which the witness holds the nodes beside the deleted ones -------------------------------------------

WRITER: Address = bytes([0xAB]) * 20
WRITER_CODE = bytes.fromhex("5f5b3681101560175780602001358135556040016001565b00")  # each 64 bytes of calldata: a slot and its value
MORTAL_CODE = bytes.fromhex("33ff")  # selfdestruct(caller)


def deletions(slots: dict[int, int], writes: dict[int, int], mortals: int, killed: set[int]) -> RandomBlock:
    """A block that writes slots and removes accounts, under Shanghai's rules."""
    alice = funded("alice")
    env = random_block(FORKS.index(SHANGHAI)).env
    graves = [keccak(bytes([number]))[:20] for number in range(mortals)]
    codes = {keccak(code): code for code in (b"", WRITER_CODE, MORTAL_CODE)}
    accounts = {alice.address: Account(0, 10**24), WRITER: Account(1, 0, keccak(WRITER_CODE))}
    accounts |= {grave: Account(1, 7, keccak(MORTAL_CODE)) for grave in graves}
    raws = [
        alice.sign(
            WRITER, data=b"".join(slot.to_bytes(32, "big") + value.to_bytes(32, "big") for slot, value in writes.items()), gas=9 * 10**6
        )
    ]
    raws += [alice.sign(graves[number], gas=100_000) for number in sorted(killed)]
    world = World(accounts, {WRITER: slots}, codes, lambda number: None)
    env = replace(env, gas_limit=30_000_000, base_fee_per_gas=7, withdrawals=(), beneficiary=bytes([9]) * 20)
    return RandomBlock(rules(SHANGHAI), world, env, tuple(raws), ())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_deletions_replay(data: st.DataObject) -> None:
    slot, value = st.integers(0, 40), st.integers(1, 2**256 - 1)
    slots = data.draw(st.dictionaries(slot, value, max_size=30))
    writes = data.draw(st.dictionaries(slot, st.just(0) | value, max_size=30))
    mortals = data.draw(st.integers(1, 20))
    killed = data.draw(st.sets(st.integers(0, mortals - 1)))
    random = deletions(slots, writes, mortals, killed)
    evm = data.draw(st.sampled_from(list(EXECUTORS)))
    executor = EXECUTORS[evm](random.config)
    state, blocks, parent = stored(random, evm == "native")
    block = sealed(random, state, parent, executor)
    assert len(block.transactions) == 1 + len(killed)
    made = Witnesses(random.config, state, blocks).of_block([executor], parent, block)
    assert_replays(random.config, show_witness(made), block, evm)


def test_the_node_beside_a_deleted_one_is_needed_and_there() -> None:
    random = deletions({1: 5, 2: 2**255}, {1: 0}, 1, set())
    executor = ReferenceExecutor(random.config)
    state, blocks, parent = stored(random, native=False)
    block = sealed(random, state, parent, executor)
    answer = show_witness(Witnesses(random.config, state, blocks).of_block([executor], parent, block))
    sibling = next(node for node in answer["state"] if node.endswith(rlp.encode(rlp.encode(encode_int(2**255))).hex()))
    assert_replays(random.config, answer, block)
    with pytest.raises(StoreError):
        assert_replays(random.config, {**answer, "state": [node for node in answer["state"] if node != sibling]}, block)


def test_ancestors_are_there_as_far_as_blockhash_asks() -> None:
    genesis = document()
    genesis["alloc"][WRITER.hex()] = {"balance": "0x0", "code": "0x" + "6005430340" + "5f55" + "00"}  # sstore(0, blockhash(number - 5))
    forge = Forge(genesis)
    ancestors = forge.chain(forge.genesis, 7)
    block = forge.block(ancestors[-1].header, funded("alice").sign(WRITER, gas=100_000))
    for name, executor in EXECUTORS.items():
        made = forge.engine.witnesses.of_block([executor(forge.engine.config)], ancestors[-1].header, block)
        assert list(made.headers) == [ancestor.header.encode() for ancestor in ancestors[-5:]]
        assert_replays(forge.engine.config, show_witness(made), block, name)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_files_in_every_form_are_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forge = Forge(document())
    block = forge.block(forge.genesis, funded("alice").sign(to=WRITER, value=1))
    made = forge.engine.witnesses.of_block([ReferenceExecutor(forge.engine.config)], forge.genesis, block)
    whole = witness_document(forge.engine.config, block, made)
    parts: dict[str, Any] = {key: value for key, value in whole.items() if key != "block"}
    parts |= {"header": "0x" + block.header.encode().hex(), "transactions": ["0x" + raw.hex() for raw in block.transactions]}
    wrong = {**parts, "transactions": parts["transactions"][:1]}
    paths = [tmp_path / f"{name}.json" for name in ("whole", "parts", "wrong", "broken")]
    for path, content in zip(paths, (whole, parts, wrong, {"config": {}}), strict=True):
        path.write_text(json.dumps(content))
    for evm in ("py", "native", "both"):
        assert main(["replay", "--evm", evm, *map(str, paths[:2])]) == 0
        assert capsys.readouterr().out.count(f"0x{block.hash.hex()}") == 2
        assert main(["replay", "--evm", evm, str(paths[2])]) == 1
        assert f"DIFFERS expected 0x{block.hash.hex()}" in capsys.readouterr().out
    assert main(["replay", str(paths[3]), str(tmp_path / "missing.json")]) == 1
    assert "is not a witness file" in capsys.readouterr().out
