"""op-reth's command line in the words of this program, so that a script written for it starts a node here.

Flags that are spelled otherwise only by name are aliases in `settings.py`. Here are those with another form, and the names of
those that have no meaning here: they are accepted with a warning. Source: op-reth's `node --help` (digest b).
"""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

_SWITCHES = """
    disable-dns-discovery disable-discv4-discovery disable-discv5-discovery disable-nat trusted-only no-persist-peers
    enforce-enr-fork-id http.disable-compression auth-ipc disable-auth-server rpc.disable-metrics
    rpc.compute-state-root-for-eth-simulate testing.skip-invalid-transactions rpc.force-blob-sidecar-upcasting
    txpool.disable-blobs-support txpool.no-local-transactions-propagation rollup.discovery.v4 rollup.enable-tx-conditional
    flashblock-consensus proofs-history storage.v2 jit jit.debug era.enable log.journald db.disable-metrics
    engine.disable-state-cache engine.disable-prewarming engine.state-provider-metrics engine.state-root-task-compare-updates
    engine.accept-execution-requests-hash engine.disable-precompile-cache engine.state-root-fallback
    engine.always-process-payload-attributes-on-canonical-head engine.disable-cache-metrics engine.disable-sparse-trie-cache-pruning
    engine.share-execution-cache-with-payload-builder engine.share-sparse-trie-with-payload-builder
    engine.suppress-persistence-during-build engine.disable-bal-parallel-execution engine.disable-bal-parallel-state-root
    engine.disable-bal-batch-io prune.sender-recovery.full prune.transaction-lookup.full prune.receipts.full
    prune.receipts.pre-merge prune.account-history.full prune.storage-history.full prune.bodies.pre-merge
"""
_VALUES = """
    metrics.prometheus.push.url metrics.prometheus.push.interval datadir.static-files datadir.rocksdb datadir.pprof-dumps
    discovery.addr discovery.v5.addr discovery.v5.addr.ipv6 discovery.v5.port discovery.v5.port.ipv6 discovery.v5.lookup-interval
    discovery.v5.bootstrap.lookup-interval discovery.v5.bootstrap.lookup-countdown trusted-peers dns-retries peers-file
    p2p-secret-key-hex addr max-outbound-peers max-inbound-peers max-tx-reqs max-tx-reqs-peer max-seen-tx-history
    max-pending-imports pooled-tx-response-soft-limit pooled-tx-pack-soft-limit max-tx-pending-fetch tx-channel-memory-limit
    net-if.experimental tx-propagation-policy tx-ingress-policy tx-propagation-mode required-block-hashes eth-max-message-size
    ipc.permissions auth-ipc.path rpc.jwtsecret rpc.max-request-size rpc.returndata.limit rpc.max-subscriptions-per-connection
    rpc.max-tracing-requests rpc.max-blocking-io-requests rpc.max-trace-filter-blocks rpc.evm-memory-limit rpc.max-simulate-blocks
    rpc.eth-proof-window rpc.proof-permits rpc.pending-block rpc.forwarder rpc.send-raw-transaction-sync-timeout
    rpc-cache.max-blocks rpc-cache.max-receipts rpc-cache.max-headers rpc-cache.max-bals rpc-cache.max-concurrent-db-requests
    rpc-cache.max-cached-tx-hashes gpo.default-suggested-fee txpool.minimal-protocol-fee txpool.pending-max-size
    txpool.basefee-max-count txpool.basefee-max-size txpool.queued-max-size txpool.blobpool-max-count txpool.blobpool-max-size
    txpool.blob-cache-size txpool.gas-limit txpool.max-tx-gas txpool.max-tx-input-bytes txpool.max-cached-entries
    txpool.additional-validation-tasks txpool.max-pending-txns txpool.max-new-txns txpool.max-new-pending-txs-notifications
    txpool.max-batch-size builder.disallow builder.extradata builder.interval builder.max-tasks builder.max-blobs
    rollup.sequencer-headers rollup.max-uncompressed-block-size flashblocks-url websocket-url flashblocks-idle-timeout
    proofs-history.storage-path proofs-history.verification-interval proofs-history.storage-version proofs-history.prune-interval
    jit.hot-threshold jit.worker-count jit.channel-capacity jit.max-pending-jobs jit.max-bytecode-len jit.code-cache-bytes
    jit.idle-evict-duration era.path era.url log.stdout.filter log.file.format log.file.filter log.file.directory log.file.name
    log.file.max-size log.file.max-files log.journald.filter color tracing-otlp tracing-otlp-protocol tracing-otlp.filter
    tracing-otlp.sample-ratio logs-otlp logs-otlp.filter db.log-level db.exclusive db.max-size db.page-size db.growth-step
    db.read-transaction-timeout db.max-readers db.sync-mode db.rocksdb-block-cache-size db.balstore-cache-size
    engine.persistence-threshold engine.persistence-backpressure-threshold engine.memory-block-buffer-target
    engine.invalid-header-cache-hit-eviction-threshold engine.cross-block-cache-size engine.multiproof-chunk-size
    engine.reserved-cpu-cores engine.storage-worker-count engine.account-worker-count engine.prewarming-threads
    engine.sparse-trie-max-hot-slots engine.sparse-trie-max-hot-accounts engine.slow-block-threshold engine.state-root-task-timeout
    static-files.blocks-per-file.headers static-files.blocks-per-file.transactions static-files.blocks-per-file.receipts
    static-files.blocks-per-file.transaction-senders static-files.blocks-per-file.account-change-sets
    static-files.blocks-per-file.storage-change-sets prune.block-interval prune.sender-recovery.distance
    prune.sender-recovery.before prune.transaction-lookup.distance prune.transaction-lookup.before prune.receipts.distance
    prune.receipts.before prune.receiptslogfilter prune.account-history.before prune.storage-history.distance
    prune.storage-history.before prune.bodies.distance prune.bodies.before prune.minimum-distance
"""
IGNORED_SWITCHES = frozenset(_SWITCHES.split())
IGNORED_VALUES = frozenset(_VALUES.split())


def in_our_words(words: Sequence[str], switches: Collection[str]) -> list[str]:
    """A command line with op-reth's forms replaced; `switches` are the names of flags that need no value.

    Ports of `--instance` come first, so that ports given by hand win.
    """
    waiting = list(reversed(words))
    first: list[str] = []
    rest: list[str] = []
    while waiting:
        word = waiting.pop()
        name, has_value, value = word.partition("=")
        following = waiting[-1] if waiting else ""
        if name in ("--metrics", "--chain", "--instance", "--log.stdout.format") and not has_value and _is_value(name, following):
            has_value, value = "=", waiting.pop()
        if name == "--instance":
            first += _ports_of_instance(value)
        elif name[2:] in switches and name.startswith("--") and not has_value and following in ("true", "false"):
            rest.append(f"{name}={waiting.pop()}")
        else:
            rest += _one(word, name, value if has_value else None)
    return first + rest


def _is_value(name: str, word: str) -> bool:
    return ":" in word and not word.startswith("-") if name == "--metrics" else not word.startswith("-")


def _one(word: str, name: str, value: str | None) -> Iterator[str]:
    """The flags that one flag of op-reth means; the word itself for all others."""
    if re.fullmatch("-v{1,5}", word):
        yield f"--verbosity={len(word) - 1}"
    elif word in ("-q", "--quiet"):
        yield "--verbosity=0"
    elif word == "-d":
        yield "--nodiscover"
    elif word == "--full":
        yield "--gcmode=full"
    elif word == "--txpool.disable-transactions-backup":
        yield "--txpool.journal="
    elif word == "--with-unused-ports":
        yield from ("--http.port=0", "--ws.port=0", "--authrpc.port=0")
    elif name == "--metrics" and value is not None and ":" in value:
        host, _, port = value.rpartition(":")
        yield from ("--metrics", f"--metrics.addr={host}", f"--metrics.port={port}")
    elif name == "--chain" and value is not None and Path(value).is_file():
        yield f"--genesis={value}"
    elif name == "--log.stdout.format" and value is not None:
        yield f"{name}={value.replace('log-fmt', 'logfmt')}"
    else:
        yield word if value is None or "=" in word else f"{word}={value}"


def _ports_of_instance(number: str) -> list[str]:
    """op-reth's ports for the N-th node on one machine; a number that is none is left for the flags' own check."""
    if not number.isdecimal() or not 1 <= int(number) <= 200:
        return [f"--http.port={number} (of --instance)"]
    n = int(number)
    ports = {"port": 30303 + n - 1, "authrpc.port": 8551 + n * 100 - 100, "http.port": 8545 - n + 1, "ws.port": 8546 + n * 2 - 2}
    return [f"--{name}={port}" for name, port in ports.items()]
