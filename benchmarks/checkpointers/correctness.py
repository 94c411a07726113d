"""The conformance suite and our contract, on ours and on the official savers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

from langgraph.checkpoint.conformance.initializer import RegisteredCheckpointer
from langgraph.checkpoint.conformance.validate import validate

from benchmarks.checkpointers.savers import Opened, all_savers
from benchmarks.checkpointers.table import show
from tests.checkpointers.contract import CHECKS
from tests.checkpointers.wrapped import on_the_loop
from tests.workspace.postgres import Postgres

_PATIENCE = 20.0


def conformance(folder: Path) -> None:
    rows = []
    with Postgres() as postgres:
        for name, opened in all_savers(folder, postgres).items():
            faces = {"sync": on_the_loop}
            if not name.startswith("official: SQLite") and not name.startswith("official: Postgres"):
                faces["async"] = lambda saver: saver
            rows.append((name, *(_conforms(opened, faces.get(kind)) for kind in ("async", "sync"))))
    show("langgraph-checkpoint-conformance: passed tests of 81, capabilities of 8", ("saver", "async", "sync"), rows)


def _conforms(opened: Callable[[], Opened], face: Any) -> str:
    if face is None:
        return "(another class)"
    with opened() as saver:

        async def factory() -> AsyncGenerator[Any, None]:
            yield face(saver)

        report = asyncio.run(validate(RegisteredCheckpointer(name="x", factory=factory)))
    passed = sum(result.tests_passed for result in report.results.values())
    return f"{passed} ({sum(result.passed is True for result in report.results.values())})"


def contract(folder: Path) -> None:
    with Postgres() as postgres:
        savers = all_savers(folder, postgres)
        outcomes = {name: [_outcome(opened, check) for check in CHECKS] for name, opened in savers.items()}
    rows: list[tuple[str, ...]] = [
        (check.__name__.replace("_", " "), *(outcome[i] for outcome in outcomes.values()))
        for i, check in enumerate(CHECKS)
    ]
    rows.append(("**passed**", *(f"{outcome.count('✓')} / {len(CHECKS)}" for outcome in outcomes.values())))
    show("Our contract", ("check", *outcomes), rows)


def _outcome(opened: Callable[[], Opened], check: Callable[[Any], None]) -> str:
    """✓, what was raised, or that it never came back."""
    outcome = ["hangs"]

    def run() -> None:
        try:
            with opened() as saver:
                check(saver)
            outcome[0] = "✓"
        except Exception as error:  # noqa: BLE001 whatever a saver does wrong is the result
            outcome[0] = type(error).__name__

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    return outcome[0]
