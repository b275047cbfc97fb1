"""A node started in a shell with a low limit of open files, and strangers who open more connections than that."""

import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.helpers.running import RunningNode

SOFT = 256


@pytest.fixture
def node() -> Iterator[RunningNode]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, hard))
    try:
        running = RunningNode("dev", "--evm=py", "--rpc.max-connections=300")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with running:
        yield running


def test_more_connections_than_the_shells_limit(node: RunningNode) -> None:
    limits = Path(f"/proc/{node.process.pid}/limits").read_text().splitlines()
    (files,) = (line.split()[3:5] for line in limits if line.startswith("Max open files"))
    assert files[0] == files[1]
    address = urlsplit(node.http)
    silent = [socket.create_connection((address.hostname, address.port), 10) for _ in range(400)]
    try:
        assert node.call("eth_chainId") == node.engine_call("eth_chainId")
        assert len(list(Path(f"/proc/{node.process.pid}/fd").iterdir())) < 400
    finally:
        for connection in silent:
            connection.close()
