"""A real MLflow server behind the workspace's tracking and registry; it starts when it is first asked."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx

from tests.workspace.lifeline import Lifeline

START_TIMEOUT = 90.0


class MlflowFailed(RuntimeError):
    """It did not start; the message has its log."""


class MlflowServer:
    """`mlflow server` over SQLite; artifacts of runs are files in `directory`, which clients reach themselves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: Lifeline | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where it is."""
        with self._lock:
            if self._process is None:
                self._start()
        return f"http://127.0.0.1:{self._port}"

    def stop(self) -> None:
        """End it and its workers."""
        if self._process and self._lifeline:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(5)
            self._lifeline.release()

    def _start(self) -> None:
        artifacts = self._directory / "artifacts"
        artifacts.mkdir(parents=True, exist_ok=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        command += ["--backend-store-uri", f"sqlite:///{self._directory / 'mlflow.db'}", "--workers", "1"]
        command += ["--default-artifact-root", str(artifacts), "--no-serve-artifacts"]
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DATABRICKS_"))}
        log = self._directory / "server.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env={**env, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        self._lifeline = Lifeline(-self._process.pid)
        self._await(log)

    def _await(self, log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            assert self._process
            if self._process.poll() is not None:
                break
            with suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self._port}/health", timeout=2).status_code == 200:
                    return
            time.sleep(0.1)
        raise MlflowFailed(log.read_text(errors="replace")[-3000:])
