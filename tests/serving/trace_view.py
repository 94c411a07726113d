"""A turn's trace as MLflow's own pages show it, in a real browser: python -m tests.serving.trace_view PICTURE

Answers a question over the sample data, starts `mlflow server` over the store that the turn was traced to, opens the
trace in a headless Chromium and saves a picture of it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.serving.processes import free_port, running, wait_for

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDTH = 1500
"""Pixels; the trace takes the left 70 %."""
QUESTION = "Total invoice amount by vendor: the top 5"


def traced_turn(home: Path) -> tuple[str, str]:
    """The ids of the experiment and of the trace."""
    import mlflow

    from agent.config import Settings
    from agent.core import Request, open_agent
    from agent.tracing.turns import flush, run_with_trace

    with open_agent(Settings(home=home)) as agent:
        for _ in run_with_trace(agent, Request(QUESTION, thread_id="purchasing", user_id="ada")):
            pass
    flush()
    (trace,) = mlflow.search_traces(return_type="list", include_spans=False)
    return trace.info.experiment_id, trace.info.trace_id


def view(home: Path, experiment: str, trace: str, picture: Path) -> str:
    """Save the picture; return the text of the page."""
    from playwright.sync_api import sync_playwright

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{home / 'traces.db'}"]
    with running([*command, "--port", str(port), "--workers", "1"], cwd=home, log=home / "mlflow.log"):
        wait_for(f"http://127.0.0.1:{port}/health", seconds=180)
        with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
            browser = playwright.chromium.launch_persistent_context(
                profile, executable_path=CHROMIUM, args=FLAGS, viewport={"width": WIDTH, "height": 840}
            )
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{port}/#/experiments/{experiment}/traces?traceId={trace}")
            page.get_by_text("executed").first.wait_for(timeout=120_000)
            page.wait_for_timeout(1_500)
            page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": 0.7 * WIDTH, "height": 840})
            text = page.inner_text("body")
            browser.close()
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(view(Path(folder), *traced_turn(Path(folder)), Path(sys.argv[1]).absolute()))
