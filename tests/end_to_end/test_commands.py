"""The command line's fixed points: exact outputs and exit statuses that scripts rely on."""

import argparse
import json
import subprocess
import sys
import tomllib

import pytest

from l2engine.settings import FLAGS, parse_seconds, resolve
from tests.helpers.running import ROOT, RunningNode, l2engine
from tests.helpers.vectors import VECTORS, needs_vectors


@pytest.fixture(scope="module")
def genesis(tmp_path_factory):
    path = tmp_path_factory.mktemp("genesis") / "genesis.json"
    path.write_text(l2engine("dumpgenesis", "--fork", "isthmus").stdout)
    return path


def test_version():
    assert l2engine("version").stdout.startswith("l2engine 0.")
    assert l2engine("--version").returncode == 0


def test_unknown_command_and_flag_are_named():
    unknown = l2engine("inport")
    assert unknown.returncode == 2 and "unknown command 'inport'; did you mean import?" in unknown.stderr
    flag = l2engine("run", "--htpp.port=1")
    assert flag.returncode == 2 and "unknown flag --htpp.port=1; did you mean --http.port?" in flag.stderr


def test_help_tells_the_defaults_of_its_command():
    run, dev = (l2engine(command, "--help").stdout for command in ("run", "dev"))
    assert "namespaces over HTTP (default eth,net,web3)" in run and "archive keeps all history (default full)" in run
    assert (
        "namespaces over HTTP (default eth,net,web3,debug,txpool,admin,miner,hardhat)" in dev
        and "serve JSON-RPC over HTTP (default on)" in dev
    )


def test_a_command_line_written_for_op_geth_is_taken():
    words = """--http --http.corsdomain=* --http.vhosts=* --http.addr=0.0.0.0 --http.api=web3,debug,eth,txpool,net,engine --ws --ws.addr=0.0.0.0
        --ws.port 8546 --ws.origins=* --ws.api=debug,eth,txpool,net,engine --syncmode=full --nodiscover --maxpeers=0 --networkid=901
        --rpc.allow-unprotected-txs --authrpc.addr=0.0.0.0 --authrpc.port=8551 --authrpc.vhosts=* --authrpc.jwtsecret=/config/jwt.txt
        --gcmode=archive --state.scheme hash --db.engine pebble --metrics --metrics.addr=0.0.0.0 --metrics.port=6060 --metrics.influxdb=false
        --rollup.disabletxpoolgossip=true --rollup.sequencerhttp=https://sequencer --rollup.interoprpc=ws://x --rollup.halt=major
        --op-network=op-sepolia --cache 4096 --history.transactions=0 --txpool.journal="" --txpool.lifetime 1h --verbosity=3 --log.format=json
        --miner.gaslimit 30000000 --pprof --pprof.addr=0.0.0.0 --bootnodes enode://x --port 30303 --override.jovian=5 --rpc.gascap 0"""
    taken = l2engine("dumpconfig", *words.split())
    assert taken.returncode == 0, taken.stderr
    dumped = tomllib.loads(taken.stdout)
    assert (dumped["network"], dumped["txpool"]["lifetime"], dumped["override"]) == ("op-sepolia", 3600.0, {"jovian": 5})


def test_init_prints_the_hash_and_may_be_repeated(genesis, tmp_path):
    first, second = (l2engine("init", "--genesis", genesis, "--datadir", tmp_path / "data") for _ in range(2))
    assert first.stdout.startswith("genesis hash: 0x") and len(first.stdout.strip()) == len("genesis hash: 0x") + 64
    assert (first.returncode, second.returncode, second.stdout) == (0, 0, first.stdout)


def test_init_refuses_another_genesis(genesis, tmp_path):
    first = l2engine("init", "--genesis", genesis, "--datadir", tmp_path / "data").stdout.split()[-1]
    other = json.loads(genesis.read_text()) | {"timestamp": "0x1"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    refused = l2engine("init", "--genesis", tmp_path / "other.json", "--datadir", tmp_path / "data")
    assert refused.returncode == 1
    assert first in refused.stderr and refused.stderr.count("0x") == 2


def test_init_refuses_a_genesis_that_is_not_the_named_chains(genesis, tmp_path):
    refused = l2engine("init", "--network", "unichain-mainnet", "--genesis", genesis, "--datadir", tmp_path / "data")
    assert refused.returncode == 1 and refused.stderr.count("0x") == 2
    assert not (tmp_path / "data").exists()


def test_a_named_chain_without_allocation_says_where_to_get_it(tmp_path):
    refused = l2engine("init", "--network", "op-sepolia", "--datadir", tmp_path)
    assert refused.returncode == 1 and "superchain-registry" in refused.stderr and "--genesis" in refused.stderr


def test_db_verify_of_a_fresh_genesis(genesis, tmp_path):
    l2engine("init", "--genesis", genesis, "--datadir", tmp_path)
    assert l2engine("db", "verify", "--datadir", tmp_path).returncode == 0
    assert "accounts" in l2engine("db", "stats", "--datadir", tmp_path).stdout
    missing = l2engine("db", "verify", "--datadir", tmp_path / "nowhere")
    assert missing.returncode == 1 and "no database at" in missing.stderr


def test_flags_win_over_environment_over_file_over_defaults(tmp_path, monkeypatch):
    file = tmp_path / "config.toml"
    file.write_text('cache = 10\nnat = "file"\nhistory.state = 7\n[http]\nenabled = true\nport = 1\n')
    monkeypatch.setenv("L2ENGINE_CACHE", "20")
    monkeypatch.setenv("L2ENGINE_HTTP_PORT", "2")
    dumped = tomllib.loads(l2engine("dumpconfig", "--config", file, "--http.port", "3").stdout)
    assert (dumped["http"]["port"], dumped["cache"], dumped["history"]["state"], dumped["nat"]) == (3, 20, 7, "file")
    assert dumped["http"]["enabled"] is True and dumped["ws"]["port"] == 8546


def test_a_variable_that_is_no_setting_is_told():
    found = resolve(argparse.Namespace(), {"L2ENGINE_HTPP": "1", "L2ENGINE_OVERRIDE_KARST": "7", "L2ENGINE_CACHE": "", "PATH": "/bin"})
    assert found.warnings == ("environment variable L2ENGINE_HTPP is not a known setting; did you mean L2ENGINE_HTTP?",)
    assert found.override == {"karst": 7}


def test_dumped_settings_are_read_back_the_same(tmp_path):
    dumped = l2engine("dumpconfig", "--http", "--http.api", "eth,debug", "--override.karst", "99").stdout
    (tmp_path / "config.toml").write_text(dumped)
    assert l2engine("dumpconfig", "--config", tmp_path / "config.toml").stdout == dumped


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--http.port=x"], "not a number"),
        (["--gcmode=some"], "invalid choice"),
        (["--http.api=eth,nope"], "unknown API 'nope'"),
    ],
)
def test_bad_values_are_refused(words, error):
    refused = l2engine("dumpconfig", *words)
    assert refused.returncode != 0 and error in refused.stderr


def test_flags_of_the_contract_exist():
    names = {name for flag in FLAGS for name in (flag.name, *flag.aliases)}
    contract = """datadir network op-network chain genesis networkid syncmode history.state evm http http.addr http.port http.api
        http.corsdomain http.vhosts ws ws.addr ws.port ws.api ws.origins authrpc.addr authrpc.port authrpc.jwtsecret authrpc.vhosts port
        discovery.port bootnodes nodiscover maxpeers nodekey nat rollup.sequencerhttp rollup.disabletxpoolgossip rollup.halt
        engine.allow-unwind-canonical-header rpc.gascap rpc.evmtimeout rpc.txfeecap rpc.batch-request-limit
        rpc.batch-response-max-size rpc.rangelimit rpc.logquerylimit rpc.max-logs-per-response rpc.max-response-size gcmode
        history.proofs cache db.sync ipcdisable rollup.historicalrpc rollup.computependingblock rollup.txpool.disable-gossip miner.gaslimit metrics metrics.addr metrics.port log.format verbosity"""
    assert not set(contract.split()) - names


def test_durations_are_read_in_gos_form_too():
    assert [parse_seconds(text) for text in ("5", "1.5s", "3h0m0s", "500ms")] == [5, 1.5, 10800, 0.5]
    with pytest.raises(ValueError):
        parse_seconds("5 fortnights")


def test_run_without_a_chain_asks_for_one(tmp_path):
    refused = l2engine("run", "--datadir", tmp_path)
    assert refused.returncode == 1 and "--network NAME or --genesis FILE" in refused.stderr


def test_the_examples_that_are_rollup_nodes_run(tmp_path):
    embedded = [run_example("examples/embedded_engine.py") for _ in range(2)]
    assert embedded[0] == embedded[1] and embedded[0].startswith("block 1 0x")  # the same block each time
    (tmp_path / "genesis.json").write_text(l2engine("dumpgenesis", "--fork", "regolith").stdout)
    with RunningNode("run", "--genesis", tmp_path / "genesis.json", datadir=tmp_path / "data") as node:
        (tmp_path / "drive.py").write_text((ROOT / "examples/drive_engine.py").read_text().replace("http://127.0.0.1:8551", node.engine))
        driven = run_example(tmp_path / "drive.py", node.jwt_file)
        assert driven.splitlines()[:2] == ["newPayload: VALID", "forkchoice: VALID"]
        assert driven.splitlines()[2].startswith("head: 1 0x")


def test_the_example_of_two_chains_runs():
    sent, refused, executed = run_example("examples/two_chains.py").splitlines()
    assert "block 1 has a log" in sent and "is refused: conflicting data" in refused
    assert executed.endswith("block 2 executes the message: status 1, 1 log of CrossL2Inbox")


def run_example(*words):
    return subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def test_run_stops_on_sigterm_with_status_0_and_remembers_its_genesis(genesis, tmp_path):
    with RunningNode("run", "--genesis", genesis, datadir=tmp_path) as node:
        assert node.call("eth_chainId") == hex(901)
        assert len(bytes.fromhex(node.jwt_file.read_text().removeprefix("0x"))) == 32
        assert node.engine_call("eth_chainId") == hex(901)
        assert node.terminate() == 0
    with RunningNode("run", datadir=tmp_path) as node:
        assert node.ready["fork"] == "isthmus"
        assert node.terminate() == 0


def test_second_start_on_a_data_directory_is_refused(genesis, tmp_path):
    with RunningNode("run", "--genesis", genesis, datadir=tmp_path):
        second = l2engine("run", "--datadir", tmp_path, "--authrpc.port=0")
        assert second.returncode == 1 and "in use by another process" in second.stderr


def test_flags_of_geth_without_meaning_get_a_warning(genesis, tmp_path):
    flags = ("--state.scheme=hash", "--cache.preimages", "--metrics", "--syncmode=full")
    with RunningNode("run", "--genesis", genesis, *flags, datadir=tmp_path) as node:
        warnings = [line["msg"] for line in node.lines if line["lvl"] == "warn"]
        assert "--state.scheme has no meaning here and is ignored" in warnings
        assert "--metrics is accepted but changes nothing yet: see docs/roadmap.md" in warnings
        assert not any("syncmode" in warning for warning in warnings)


@needs_vectors
def test_run_with_a_recorded_genesis_has_its_hash(tmp_path):
    folder = VECTORS / "recordings/jovian"
    with RunningNode("run", "--genesis", folder / "genesis.json", datadir=tmp_path) as node:
        assert node.ready["hash"] == (folder / "genesis_hash.txt").read_text().strip()


def test_a_replica_that_forwards_nothing_says_so(tmp_path):
    words = ("run", "--network", "op-sepolia", "--datadir", tmp_path, "--authrpc.port=0", "--log.format=logfmt")
    said = "sequencer=https://sepolia-sequencer.optimism.io"
    assert said in l2engine(*words, "--http").stderr  # which then asks for the allocation
    assert said not in l2engine(*words).stderr
    assert said not in l2engine(*words, "--http", "--rollup.sequencerhttp=http://localhost:1").stderr


def test_dev_prints_what_a_user_needs_to_begin(tmp_path):
    ports = ("--http.port=0", "--ws.port=0", "--authrpc.port=0", "--datadir", str(tmp_path))
    process = subprocess.Popen([sys.executable, "-m", "l2engine", "dev", *ports], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    lines = []
    while not lines or not lines[-1].startswith("JWT secret"):
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    process.terminate()
    process.communicate(timeout=60)
    assert lines[0].startswith("l2engine 0.") and lines[0].endswith("chain id 901, jovian, a block per transaction\n")
    assert "  (0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266      10,000 ETH\n" in lines
    assert "  (0) 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80\n" in lines
    assert "Mnemonic    test test test test test test test test test test test junk\n" in lines
    assert {line.split()[0] for line in lines[-4:]} == {"HTTP", "WebSocket", "Engine", "JWT"}
