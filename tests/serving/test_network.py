"""What is local stays local: no name is looked up and nobody is called beyond what the settings name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow

LISTEN = """
import json, sys

seen = []

def listen(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        seen.append([event, str(arguments[0])])
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        seen.append([event, str(arguments[1][0])])

sys.addaudithook(listen)
"""

SERVE = """
import threading, time, httpx
from agent.config import Settings
from agent.serving.server import serve

settings = Settings.model_validate(json.loads(sys.argv[1]))
address = []
threading.Thread(target=serve, args=(settings, address.append), daemon=True).start()
while not address:
    time.sleep(0.05)
answer = httpx.post(f"{address[0]}/v1/responses", json={"input": "How many vendors are there?"}, timeout=120).json()
assert answer["status"] == "completed", answer
asked = {"messages": [{"role": "user", "content": "How many vendors are there?"}], "stream": True}
with httpx.stream("POST", f"{address[0]}/v1/chat/completions", json=asked, timeout=120) as told:
    assert "DONE" in "".join(told.iter_lines())
time.sleep(3)
"""

LOG = """
import mlflow
from agent.config import Settings
from agent.serving.registration import log_agent

mlflow.set_tracking_uri("sqlite:///ml.db")
log_agent(Settings.model_validate(json.loads(sys.argv[1])))
import time; time.sleep(3)
"""


def calls(code: str, folder: Path, **variables: str) -> list[list[str]]:
    """What a process of its own looks up or calls that is not this machine."""
    settings = {"home": str(folder / "home"), "serve": {"port": 0}, "tracing": {"enabled": code is SERVE}}
    tell = "\nimport os\nprint(json.dumps(seen), flush=True)\nos._exit(0)"
    done = subprocess.run(
        [sys.executable, "-c", LISTEN + code + tell, json.dumps(settings)],
        cwd=folder,
        env={"PATH": str(Path(sys.executable).parent), "HOME": str(folder), "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return [call for call in seen if call[1] not in ("127.0.0.1", "::1", "localhost", "")]


@pytest.mark.parametrize("code", [SERVE, LOG], ids=["served", "logged"])
def test_nothing_is_looked_up_or_called_but_this_machine(tmp_path: Path, code: str) -> None:
    assert calls(code, tmp_path) == []


def test_who_wants_mlflows_makers_to_know_can_say_so(tmp_path: Path) -> None:
    """And what would be looked up is heard."""
    assert any("mlflow" in name for _, name in calls(SERVE, tmp_path, MLFLOW_DISABLE_TELEMETRY="false"))
