"""A delegation's notebook, run again in a kernel of its own, and what has changed since."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.artifacts.protocol import ArtifactSummary

LINES = 40
CAPTURE = (
    "from agent.execution.inside.output import as_json as _as_json, output_of as _output_of\n"
    "print(_as_json(_output_of(globals())) if _output_of(globals()) is not None else '')"
)
"""What a run does with `result` after the code."""


@dataclass(frozen=True)
class Outcome:
    """What a delegation's code left. `error` is the name of what it raised."""

    stdout: str
    result: str
    error: str
    figures: int

    def lines(self) -> list[str]:
        parts = {"stdout": self.stdout, "result": pretty(self.result), "error": self.error}
        told = [line for title, text in parts.items() if text for line in (f"[{title}]", *text.splitlines())]
        return told + ([f"[{self.figures} figures]"] if self.figures else [])


def pretty(text: str) -> str:
    """JSON a line a value, so that a diff is short."""
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False) if text else ""
    except ValueError:
        return text


def differences(before: Outcome, after: Outcome) -> list[str]:
    """A diff, cut; empty when they are the same."""
    lines = list(unified_diff(before.lines(), after.lines(), "then", "now", lineterm="", n=1))
    more = [f"... ({len(lines) - LINES} lines more) ..."] if len(lines) > LINES else []
    return [*lines[:LINES], *more]


def outcome_of(summary: ArtifactSummary, stdout: str) -> Outcome:
    result = summary.result
    error = (result.error or "").partition(":")[0] if result else ""
    figures = sum(name.startswith("figures/") for name in summary.files)
    return Outcome(stdout.strip(), (result.output or "").strip() if result else "", error, figures)


@dataclass(frozen=True)
class Rerun:
    """`trouble` says why there is no outcome."""

    outcome: Outcome | None
    seconds: float
    trouble: str = ""


def rerun(notebook: Path, seconds: float) -> Rerun:
    """Run its setup and its code anew, at most `seconds` each. The kernel has no credentials in its environment."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    page = nbformat.read(notebook, as_version=4)  # type: ignore[no-untyped-call]
    cells = [cell for cell in page.cells if cell.cell_type == "code"]
    if not any("open_data(" in cell.source for cell in cells):
        return Rerun(None, 0.0, "its notebook does not say how to open its data again")
    page.cells = [*cells, nbformat.v4.new_code_cell(CAPTURE)]  # type: ignore[no-untyped-call]
    began = time.monotonic()
    with kernel() as (manager, folder):
        client = NotebookClient(
            page, km=manager, timeout=int(seconds), allow_errors=True, resources={"metadata": {"path": str(folder)}}
        )
        try:
            client.execute(env=environment(folder))
        except (CellTimeoutError, DeadKernelError) as error:
            return Rerun(None, time.monotonic() - began, str(error).splitlines()[0])
        finally:
            if client.kc is not None:
                client.kc.stop_channels()
    setup, code, capture = (cell.outputs for cell in page.cells)
    if failed := [one for one in setup if one.output_type == "error"]:
        return Rerun(None, time.monotonic() - began, f"its data can't be opened: {failed[0].evalue}")
    return Rerun(outcome(code, printed(capture).strip()), time.monotonic() - began)


def outcome(outputs: Sequence[Any], result: str) -> Outcome:
    errors = [one.ename for one in outputs if one.output_type == "error" and (one.ename, one.evalue) != LEFT_WELL]
    figures = sum("image/png" in one.get("data", {}) for one in outputs)
    return Outcome(printed(outputs).strip(), result, errors[0] if errors else "", figures)


LEFT_WELL = ("SystemExit", "0")
"""`sys.exit(0)` is success in a run."""


def printed(outputs: Sequence[Any]) -> str:
    return "".join(one.text for one in outputs if one.output_type == "stream" and one.name == "stdout")


@contextmanager
def kernel() -> Iterator[tuple[Any, Path]]:
    """A kernel of this very Python, talked to over sockets in a private folder that goes with it."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import KernelManager

    with TemporaryDirectory(prefix="rlm-") as name:
        folder = Path(name)
        own = KernelSpecManager(kernel_dirs=[])
        manager = KernelManager(
            kernel_spec_manager=own, transport="ipc", ip=f"{name}/k", connection_file=f"{name}/kernel.json"
        )
        try:
            yield manager, folder
        finally:
            if manager.has_kernel:
                manager.shutdown_kernel(now=True)
            manager.cleanup_resources()


def environment(folder: Path) -> dict[str, str]:
    """All that the code finds: no key of ours is in it."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "JUPYTER_PLATFORM_DIRS": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
