"""A node as its users meet it: a process with ports, a JWT file and a log."""

import base64
import hashlib
import hmac
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60  # generous: tests share the machine


class RunningNode:
    """`l2engine COMMAND …` with free ports, in JSON logs; leave the `with` block to stop it."""

    program: tuple[str, ...] = ("-m", "l2engine")

    def __init__(self, *arguments: str | Path, datadir: Path | None = None) -> None:
        self.command = [sys.executable, *self.program, *map(str, arguments)]
        self.command += ["--http", "--ws", "--http.port=0", "--ws.port=0", "--authrpc.port=0", "--log.format=json"]
        self.command += [f"--datadir={datadir}"] if datadir else []
        self.lines: list[dict[str, Any]] = []
        environment = {key: value for key, value in os.environ.items() if not key.startswith("L2ENGINE_")}
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, bufsize=1
        )
        try:
            self.ready = self._wait_for("Ready")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        self.http, self.ws, self.engine = self.ready["http"], self.ready["ws"], self.ready["engine"]
        self.jwt_file = Path(self.ready["jwtsecret"])
        # nobody reads the log from here on, and a full pipe would stop the node
        self._drain = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def __enter__(self) -> "RunningNode":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._drain.wait()
        if self.jwt_file.parent.name.startswith("l2engine-dev-"):  # of a killed dev chain in memory
            shutil.rmtree(self.jwt_file.parent, ignore_errors=True)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def terminate(self) -> int:
        """SIGTERM; the exit status. How soon it comes depends on the machine's other work, and has tests of its own."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_SECONDS)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def call(self, method: str, *params: Any) -> Any:
        """The result of an HTTP call; `RuntimeError` with the error object otherwise."""
        return _result(send(self.http, method, params))

    def engine_call(self, method: str, *params: Any) -> Any:
        """The result of a call to the Engine port, with a fresh token."""
        return _result(send(self.engine, method, params, token(self.jwt_file)))

    def _wait_for(self, message: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        deadline = time.monotonic() + START_SECONDS
        other = []
        for line in self.process.stderr:
            if line.startswith("{"):
                self.lines.append(json.loads(line))
                if self.lines[-1]["msg"] == message:
                    return self.lines[-1]
            other.append(line)
            if time.monotonic() > deadline:
                break
        raise RuntimeError(f"{' '.join(self.command)}: not ready\n{''.join(other[-30:])}")


def send(url: str, method: str, params: Any = (), bearer: str | None = None, seconds: float = 60) -> dict[str, Any]:
    """One JSON-RPC call; the whole answer."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=seconds) as response:
        answer: dict[str, Any] = json.loads(response.read())
        return answer


def token(jwt_file: Path) -> str:
    """A JWT as a rollup node makes it."""

    def part(data: bytes) -> bytes:
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    secret = bytes.fromhex(jwt_file.read_text().strip().removeprefix("0x"))
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps({"iat": int(time.time())}).encode())
    return (signed + b"." + part(hmac.new(secret, signed, hashlib.sha256).digest())).decode()


def l2engine(*arguments: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "l2engine", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["result"]
