"""Real servers in processes of their own, started, waited for and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=5).status_code == 200:
                return
        time.sleep(0.2)
    raise TimeoutError(f"{url} did not answer within {seconds} s")


@contextlib.contextmanager
def running(
    command: Sequence[str], *, cwd: Path, log: Path, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """The process and its children, in a group that is interrupted at the end and killed when that is not enough."""
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(cwd), "PYTHONPATH": str(ROOT)}
    environment |= variables or {}
    with log.open("w") as sink:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=sink, text=True, start_new_session=True
        )
        try:
            yield process
        finally:
            stop(process)


@contextlib.contextmanager
def scripted_server(
    home: Path, variables: Mapping[str, str] | None = None, **settings: Any
) -> Iterator[tuple[str, Any]]:
    """The server's URL and its process."""
    given = {
        "home": str(home / "state"),
        "tracing": {"enabled": False},
        "serve": {"port": 0, "request_deadline": 60},
        "data": {"sample": False},
    } | settings
    command = [sys.executable, "-m", "tests.serving.scripted_server", json.dumps(given)]
    with running(command, cwd=home, log=home / "server.log", variables=variables) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url, (home / "server.log").read_text()[-3000:]
        yield url, process


def stop(process: subprocess.Popen[str], seconds: float = 20) -> int:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.stdout:
        process.stdout.close()
    return process.returncode
