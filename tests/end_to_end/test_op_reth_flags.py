"""Command lines written for op-reth, in the form of public compose files, start a node here."""

import json
import tomllib
from pathlib import Path

import pytest

from l2engine import op_reth_flags, settings
from l2engine.op_reth_flags import in_our_words
from tests.helpers.running import RunningNode, l2engine

COMPOSE = """--chain=op-sepolia --datadir=/data --http --http.addr=0.0.0.0 --http.port=8545 --http.corsdomain=* --http.api=web3,debug,eth,txpool,net,rpc
    --ws --ws.addr=0.0.0.0 --ws.port=8546 --ws.origins=* --ws.api=debug,eth,txpool,net --ipcdisable
    --authrpc.addr=0.0.0.0 --authrpc.port=8551 --authrpc.jwtsecret=/shared/jwt.txt --rollup.sequencer-http=https://sequencer.example
    --rollup.sequencer-headers a=b --rollup.disable-tx-pool-gossip --rollup.discovery.v4 --discovery.port=30303 --port 30303
    --metrics=0.0.0.0:9001 --max-outbound-peers 50 --max-inbound-peers=20 --trusted-peers enode://x@1.2.3.4:30303 -d --network-id 11155420
    --rollup.operator-sdm-opt-in false --rollup.interop-http http://a:1 --rollup.interop-http http://b:2 --rollup.interop-min-responses 1
    --rollup.interop-safety-level finalized --rpc.max-blocks-per-filter 5000 --rpc.gascap 600000000 --rpc.eth-proof-window 1209600
    --proofs-history --proofs-history.storage-path /proofs --proofs-history.window 1296000 --storage.v2 --engine.persistence-threshold 2
    --engine.cross-block-cache-size=4096 --engine.disable-prewarming --txpool.minimum-priority-fee 5 --txpool.pending-max-count 100
    --txpool.max-account-slots 32 --builder.gaslimit 60000000 --builder.deadline 12 --builder.interval 1 --min-suggested-priority-fee 7
    --rollup.retain-forwarded-txs --log.stdout.format=log-fmt --log.file.max-files 0 --color never --flashblocks-url wss://x -vvvv"""


def dumped(*words: str) -> dict:
    taken = l2engine("dumpconfig", *words)
    assert taken.returncode == 0, taken.stderr
    return tomllib.loads(taken.stdout)


def test_a_compose_files_command_line():
    found = dumped(*COMPOSE.split())
    assert (found["network"], found["networkid"], found["verbosity"], found["nodiscover"]) == ("op-sepolia", 11155420, 4, True)
    rollup = found["rollup"]
    assert (rollup["sequencerhttp"], rollup["retain-forwarded-txs"]) == ("https://sequencer.example", True)
    assert rollup["interop-http"] == ["http://a:1", "http://b:2"] and rollup["interop-safety-level"] == "finalized"
    assert found["history"]["proofs"] == 1_296_000
    assert (found["txpool"]["pricelimit"], found["txpool"]["globalslots"], found["txpool"]["accountslots"]) == (5, 100, 32)
    assert (found["gpo"]["minsuggestedpriorityfee"], found["miner"]["gaslimit"]) == (7, 60_000_000)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("-v", "--verbosity=1"),
        ("-vvvvv", "--verbosity=5"),
        ("-q", "--verbosity=0"),
        ("--full", "--gcmode=full"),
        ("--metrics 0.0.0.0:9001", "--metrics --metrics.addr=0.0.0.0 --metrics.port=9001"),
        ("--metrics=[::1]:9001", "--metrics --metrics.addr=[::1] --metrics.port=9001"),
        ("--metrics --http", "--metrics --http"),
        ("--metrics=false", "--metrics=false"),
        ("--with-unused-ports", "--http.port=0 --ws.port=0 --authrpc.port=0"),
        ("--http.port 1 --instance 2", "--port=30304 --authrpc.port=8651 --http.port=8544 --ws.port=8548 --http.port 1"),
        ("--rollup.operator-sdm-opt-in true", "--rollup.operator-sdm-opt-in=true"),
        ("--storage.v2 false", "--storage.v2=false"),
        ("--txpool.disable-transactions-backup", "--txpool.journal="),
        ("--log.stdout.format log-fmt", "--log.stdout.format=logfmt"),
        ("--datadir -q", "--datadir --verbosity=0"),
    ],
)
def test_forms(theirs: str, ours: str):
    assert in_our_words(theirs.split(), settings.SWITCHES | settings.IGNORED_SWITCHES) == ours.split()


def test_a_chain_may_be_a_file(tmp_path: Path):
    (tmp_path / "genesis.json").write_text("{}")
    assert in_our_words(["--chain", str(tmp_path / "genesis.json")], ()) == [f"--genesis={tmp_path}/genesis.json"]
    assert in_our_words(["--chain", "op-sepolia"], ()) == ["--chain=op-sepolia"]


def test_a_word_that_is_no_number_of_an_instance_is_refused():
    assert l2engine("dumpconfig", "--instance", "many").returncode == 2


def test_what_has_no_meaning_here_is_said(tmp_path: Path):
    genesis = tmp_path / "genesis.json"
    genesis.write_text(l2engine("dumpgenesis").stdout)
    with RunningNode("run", "--chain", genesis, "--engine.persistence-threshold", "2", "--jit", datadir=tmp_path / "data") as node:
        assert node.call("eth_chainId") == hex(901)
        warned = [line["msg"] for line in node.lines if "has no meaning here" in json.dumps(line)]
    assert [name.split()[0] for name in warned] == ["--engine.persistence-threshold", "--jit"]


def test_no_flag_is_both_known_and_ignored():
    known = {name for flag in settings.FLAGS for name in (flag.name, *flag.aliases)}
    assert not known & (op_reth_flags.IGNORED_SWITCHES | op_reth_flags.IGNORED_VALUES)
    assert not op_reth_flags.IGNORED_SWITCHES & op_reth_flags.IGNORED_VALUES
