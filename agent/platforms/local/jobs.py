"""Jobs without a workspace: notebooks of a folder as background processes that outlive the chat.

A run is a folder `<home>/<run_id>` with `job.json` (what was ordered), `state.json` (how far it is), `stdout.txt` and
`stderr.txt`. Who starts a run again by the same token finds it; a run is alive as long as its process holds the lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.platforms.local import job_process
from agent.platforms.local.job_process import HEADER, cells
from agent.tools.services import JobOrder, JobRun, JobsUnavailable, JobTask

NOTEBOOK = "notebook"
LAUNCH_SECONDS = 30.0
ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "TZ": "UTC", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class JobData:
    """What `execute_sql` of a notebook reads: the arguments of the warehouse that the chat has open."""

    home: Path
    sample: bool = True
    paths: Sequence[Path] = ()


class LocalJobs:
    """`folder` holds the notebooks, `home` the runs. A cancelled run has `grace_seconds` to end by itself."""

    def __init__(self, folder: Path, home: Path, data: JobData, grace_seconds: float = 3.0) -> None:
        self._folder = folder
        self._home = home
        self._data = data
        self._grace = grace_seconds

    @property
    def about(self) -> str:
        notebooks = self._notebooks()
        if not notebooks:
            return f"No notebook is in {self._folder}."
        lines = [f"- {name}: {title(path)}" for name, path in notebooks.items()]
        first = next(iter(notebooks))
        return "\n".join([f"The parameter `{NOTEBOOK}` chooses what is run (else {first}):", *lines])

    def start(self, order: JobOrder) -> str:
        parameters = dict(order.parameters)
        notebook = self._chosen(parameters.pop(NOTEBOOK, None))
        run_id = run_id_of(order.idempotency_token)
        folder = self._home / run_id
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "job.json").exists():
                write_json(folder / "job.json", self._job(order, parameters, notebook, run_id))
        except OSError as error:
            raise JobsUnavailable(f"its folder {folder} can't be written: {error.strerror}.") from error
        launch(folder)
        return run_id

    def find(self, idempotency_token: str) -> str | None:
        run_id = run_id_of(idempotency_token)
        return run_id if (self._home / run_id / "job.json").is_file() else None

    def poll(self, run_id: str) -> JobRun:
        folder = self._run_folder(run_id)
        return describe_run(run_id, folder, settle_state(folder), read_json(folder / "job.json"))

    def cancel(self, run_id: str) -> JobRun:
        folder = self._run_folder(run_id)
        state = settle_state(folder)
        if state["life_cycle_state"] in ("PENDING", "RUNNING"):
            (folder / "cancelled").touch()
            end_process(folder, self._grace)
        return self.poll(run_id)

    def owns(self, run_id: str, thread_id: str) -> bool:
        try:
            owner: str = read_json(self._run_folder(run_id) / "job.json")["thread_id"]
        except JobsUnavailable:
            return False
        return owner == thread_id

    def _job(self, order: JobOrder, parameters: dict[str, str], notebook: Path, run_id: str) -> dict[str, Any]:
        paths = [str(path.resolve()) for path in self._data.paths]
        return {
            "run_id": run_id,
            "thread_id": order.thread_id,
            "notebook": str(notebook.resolve()),
            "parameters": {"user_request": order.user_request, **parameters},
            "data": {"home": str(self._data.home.resolve()), "sample": self._data.sample, "paths": paths},
            "root": str(ROOT),
        }

    def _notebooks(self) -> dict[str, Path]:
        found = sorted(self._folder.glob("*")) if self._folder.is_dir() else []
        return {path.stem: path for path in found if is_notebook(path)}

    def _chosen(self, name: str | None) -> Path:
        notebooks = self._notebooks()
        if not notebooks:
            raise JobsUnavailable(f"there is no notebook in {self._folder}.")
        chosen = next(iter(notebooks)) if name is None else name.removesuffix(".ipynb").removesuffix(".py")
        if chosen not in notebooks:
            raise JobsUnavailable(f"there is no notebook {name!r}; there are {', '.join(notebooks)}.")
        return notebooks[chosen]

    def _run_folder(self, run_id: str) -> Path:
        folder = self._home / run_id if run_id.isascii() and run_id.isdigit() else None
        if folder is None or not (folder / "job.json").is_file():
            raise JobsUnavailable(f"there is no run {run_id!r}.")
        return folder


def run_id_of(idempotency_token: str) -> str:
    return str(int(sha256(idempotency_token.encode()).hexdigest()[:12], 16))


def is_notebook(path: Path) -> bool:
    if path.suffix == ".ipynb":
        return path.is_file()
    return path.suffix == ".py" and path.is_file() and path.read_bytes().startswith(HEADER.encode())


def title(path: Path) -> str:
    """The first line of the notebook's first Markdown cell."""
    try:
        found = cells(path.read_text(encoding="utf-8"), path.suffix == ".ipynb")
    except (ValueError, KeyError):
        return "a notebook that can't be read"
    text = next((cell for cell in found if cell.startswith("%md")), "").removeprefix("%md").strip()
    return text.split("\n")[0].lstrip("# ").strip() or "a notebook without a title"


def launch(folder: Path) -> None:
    """Returns when the run's process holds its lock, or has run before."""
    command = [sys.executable, "-I", job_process.__file__, str(folder.resolve())]
    quiet = subprocess.DEVNULL
    environment = {**ENVIRONMENT, "HOME": str(folder.resolve())}
    try:
        subprocess.run(  # noqa: S603
            command,
            stdin=quiet,
            stdout=quiet,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=LAUNCH_SECONDS,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise JobsUnavailable(f"its process could not be started: {error.stderr.decode(errors='replace')}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JobsUnavailable(f"its process could not be started: {error}") from error


def settle_state(folder: Path) -> dict[str, Any]:
    """The state of the run. A process that went without a word ended by cancellation, or broke."""
    alive = is_alive(folder)
    state = read_json(folder / "state.json") if (folder / "state.json").exists() else {"life_cycle_state": "PENDING"}
    if alive or state["life_cycle_state"] == "TERMINATED":
        return state
    if (folder / "cancelled").exists():
        return state | {"life_cycle_state": "TERMINATED", "result_state": "CANCELED"}
    return state | {
        "life_cycle_state": "INTERNAL_ERROR",
        "result_state": "FAILED",
        "error": "The run's process ended without a result.",
    }


def is_alive(folder: Path) -> bool:
    try:
        lock = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def end_process(folder: Path, grace_seconds: float) -> None:
    """Ask the run's process group to end, then make it; raises JobsUnavailable when it is still there."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + grace_seconds
        told = False
        while time.monotonic() < until:
            if not is_alive(folder):
                return
            told = told or tell(folder, number)
            time.sleep(0.02)
    raise JobsUnavailable("the run was told to end and has not yet.")


def tell(folder: Path, number: int) -> bool:
    """Signal the group; False while the process has not yet said which it is."""
    if not (folder / "state.json").exists():
        return False
    try:
        os.killpg(int(read_json(folder / "state.json")["pid"]), number)
    except ProcessLookupError:
        return False
    return True


def describe_run(run_id: str, folder: Path, state: dict[str, Any], job: dict[str, Any]) -> JobRun:
    life, result = state["life_cycle_state"], state.get("result_state")
    return JobRun(
        run_id=run_id,
        life_cycle_state=life,
        result_state=result,
        state_message=MESSAGES.get(result or life, ""),
        tasks=(JobTask(Path(job["notebook"]).stem, life, result),),
        run_page_url=folder.resolve().as_uri(),
        result=state.get("result"),
        result_truncated=state.get("result_truncated", False),
        error=state.get("error"),
    )


MESSAGES = {"PENDING": "In run queue", "RUNNING": "In run", "CANCELED": "Run cancelled", "FAILED": "Run failed"}


def read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def write_json(path: Path, content: dict[str, Any]) -> None:
    written = path.with_suffix(f".{os.getpid()}.new")
    written.write_text(json.dumps(content), encoding="utf-8")
    written.replace(path)
