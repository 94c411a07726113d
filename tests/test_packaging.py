"""What is installed: the list holds what the product imports and nothing else, and one wheel carries it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.test_floors import imported

ROOT = Path(__file__).parents[1]
OURS = {"agent", "graph", "checkpointers"}
NAMED_ONLY = {
    "uvicorn": "imported by the servers that we start",
    "mcp": "a bound: databricks_langchain fails to import with mcp 2",
    "langgraph-checkpoint-sqlite": "langgraph.store.sqlite, a namespace that packages share",
    "langgraph-checkpoint-postgres": "langgraph.checkpoint.postgres, a namespace that packages share",
    "langgraph-checkpoint": "langgraph.checkpoint, a namespace that packages share",
    "openpyxl": "loaded by pandas to write a workbook",
    "ipykernel": "started by nbclient for a notebook",
    "psycopg": "its extras bring the binary and the pool",
    "databricks-sql-connector": "databricks.sql, a namespace that packages share",
    "databricks-sdk": "databricks.sdk, a namespace that packages share",
}


def requirements() -> set[str]:
    lines = (ROOT / "requirements.in").read_text("utf-8").splitlines()
    return {re.split(r"[<>=\[]", line)[0].strip().lower() for line in lines if line and not line.startswith("#")}


def imports() -> set[str]:
    files = [file for folder in OURS for file in (ROOT / folder).rglob("*.py")]
    return {name for file in files for name in imported(file)} - set(sys.stdlib_module_names) - OURS


def test_everything_that_the_product_imports_is_in_its_list():
    known = packages_distributions()
    missing = {
        name for name in imports() if not {dist.lower().replace("_", "-") for dist in known[name]} & requirements()
    }
    assert missing <= {"pyspark", "IPython", "dbutils", "psycopg_pool"}, missing


def test_nothing_is_in_the_list_that_the_product_does_not_import():
    known = packages_distributions()
    used = {dist.lower().replace("_", "-") for name in imports() for dist in known.get(name, ())}
    assert requirements() - used - set(NAMED_ONLY) == set()


def test_the_lock_pins_every_direct_dependency():
    pinned = (ROOT / "requirements.txt").read_text("utf-8").lower()
    assert [name for name in requirements() if not re.search(rf"(?m)^{re.escape(name)}(\[[^]]*\])?==", pinned)] == []


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_the_default_settings_and_the_command(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == OURS
    assert "agent/config.yaml" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith("tests")]


def test_the_command_of_the_wheel_answers_without_the_checkout(wheel: Path, tmp_path: Path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "installed")
    code = "import sys; sys.path.insert(0, 'installed'); from agent.terminal.command_line import main; main(['config'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "base_model.name" in done.stdout
