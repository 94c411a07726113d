"""Tools on real things: a small warehouse of files, jobs as processes, a model that says what it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import ToolMessage

from agent.data.warehouse import Warehouse, open_warehouse
from agent.models.scripted import ScriptedModel
from agent.platforms.local.genie import LocalGenie
from agent.platforms.local.jobs import JobData, LocalJobs
from agent.platforms.local.volumes import LocalVolumes
from agent.prompts import genie_sql
from agent.tools import build_tools
from agent.tools.services import ToolServices

VENDORS = "id,name,city\n1,Acme,Bonn\n2,Globex,Bern\n3,Initech,Bonn\n"
ORDERS = "id,vendor_id,amount\n" + "".join(f"{n},{n % 3 + 1},{n * 10}\n" for n in range(1, 61))

Invoke = Callable[..., ToolMessage]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "vendors.csv").write_text(VENDORS)
    (folder / "orders.csv").write_text(ORDERS)
    return folder


@pytest.fixture(scope="session")
def warehouse_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def warehouse(data: Path, warehouse_home: Path) -> Iterator[Warehouse]:
    with open_warehouse(warehouse_home, sample=False, paths=[data]) as opened:
        yield opened


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    return folder


@pytest.fixture
def jobs(notebooks: Path, tmp_path: Path, data: Path, warehouse_home: Path) -> LocalJobs:
    return LocalJobs(notebooks, tmp_path / "jobs", JobData(warehouse_home, sample=False, paths=[data]))


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def services(warehouse: Warehouse, jobs: LocalJobs, model: ScriptedModel, tmp_path: Path) -> ToolServices:
    genie = LocalGenie(warehouse, lambda prompt: model.invoke(prompt).text, genie_sql, tmp_path / "genie")
    return ToolServices(warehouse, LocalVolumes(tmp_path / "volumes"), genie, jobs)


@pytest.fixture
def invoke(services: ToolServices) -> Invoke:
    """Call a tool as the graph does: by name, with a call id, on a thread."""

    def call(
        name: str, arguments: Mapping[str, Any], thread: str = "t1", call_id: str = "call_1", step: int = 3
    ) -> ToolMessage:
        config = {"configurable": {"thread_id": thread}, "metadata": {"langgraph_step": step}}
        tool_call = {"name": name, "args": dict(arguments), "id": call_id, "type": "tool_call"}
        return build_tools(services)[name].invoke(tool_call, config)

    return call
