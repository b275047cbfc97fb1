"""How long `make run` takes to answer in a clean clone of HEAD, with empty pip and cargo caches.

    python bench/first_start.py

Prints what make prints until then, and the seconds from the command to the first answer over HTTP. The native executor's build is stopped.
"""

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 600
REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}'


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clone = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        environment = {**os.environ, "PIP_CACHE_DIR": str(folder / "pip"), "CARGO_HOME": str(folder / "cargo")}
        http, ws, engine = free_ports(3)
        command = ["make", "run", f"ARGS=--http.port={http} --ws.port={ws} --authrpc.port={engine}"]
        started = time.monotonic()
        make = subprocess.Popen(command, cwd=clone, env=environment, start_new_session=True)
        try:
            while not answers(http):
                if make.poll() is not None or time.monotonic() - started > LIMIT_SECONDS:
                    raise SystemExit("no answer")
                time.sleep(0.05)
            seconds = time.monotonic() - started
        finally:
            if make.poll() is None:
                os.killpg(make.pid, signal.SIGINT)
            make.wait()
        print(f"\nanswered after {seconds:.1f} s; load average {os.getloadavg()[0]:.1f}")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port: int) -> bool:
    """Whether a node answers there."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}", REQUEST, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=1) as response:
            return b"result" in response.read()
    except OSError:
        return False


if __name__ == "__main__":
    main()
