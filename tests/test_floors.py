"""The house stands: floors point down only, and imports do no work."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("databricks", "duckdb", "mlflow", "pandas", "psycopg", "pyarrow", "langchain_openai")


def test_floors_point_down_only() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_machine_imports_langgraph_and_langchain_core_and_nothing_else_from_outside() -> None:
    outside = {name for file in (ROOT / "graph").rglob("*.py") for name in imported(file)}
    outside -= set(sys.stdlib_module_names) | {"graph"}
    assert outside == {"langgraph", "langchain_core"}


@pytest.mark.parametrize("module", ["graph.builder", "checkpointers", "agent.core", "agent.config", "main"])
def test_importing_does_no_heavy_work(module: str) -> None:
    code = f"import {module}, sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("module", ["main", "agent"])
def test_nothing_imports_what_stands_above_it(module: str) -> None:
    below = {"main": ("agent", "graph", "checkpointers"), "agent": ("graph", "checkpointers")}[module]
    files = [file for folder in below for file in (ROOT / folder).rglob("*.py")]
    assert [str(file) for file in files if module in imported(file)] == []


def imported(file: Path) -> set[str]:
    """The top-level names of all that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names
