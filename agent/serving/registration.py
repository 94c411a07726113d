"""Logging the agent as an MLflow model: its code, its settings, what it needs installed and what it may reach."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from agent.core import Request
from graph.events import Event, TurnEnded, TurnStarted
from graph.types import ConversationResult

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo
    from mlflow.models.resources import Resource

    from agent.config import Settings

ROOT = Path(__file__).resolve().parents[2]
CODE = ("agent", "graph", "checkpointers")
EXAMPLE = {
    "input": [{"role": "user", "content": "Which vendors appear more than once?"}],
    "custom_inputs": {"thread_id": "example"},
}

_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


def log_agent(settings: Settings, name: str = "agent", root: Path = ROOT, **options: Any) -> ModelInfo:
    """Log `agent/agent.py` with these settings to the current tracking store; needs no credentials of the agent's own.

    `root` holds the packages and requirements.txt. `options` go to `mlflow.pyfunc.log_model`, such as
    `registered_model_name`, or `auth_policy` in place of the resources.
    """
    import mlflow

    allowed = {} if "auth_policy" in options else {"resources": resources_of(settings)}
    with rehearse():
        logged: ModelInfo = mlflow.pyfunc.log_model(
            name=name,
            python_model=str(root / "agent" / "agent.py"),
            model_config=settings.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            code_paths=[str(root / package) for package in CODE],
            pip_requirements=str(root / "requirements.txt"),
            input_example=EXAMPLE,
            **(allowed | options),
        )
    return logged


def resources_of(settings: Settings) -> list[Resource]:
    """What the deployed model may reach as itself: what Databricks gives its service principal."""
    from mlflow.models.resources import DatabricksGenieSpace, DatabricksLakebase, DatabricksServingEndpoint

    resources: list[Resource] = [DatabricksServingEndpoint(endpoint_name=name) for name in endpoints_of(settings)]
    if settings.genie.space_id:
        resources.append(DatabricksGenieSpace(genie_space_id=settings.genie.space_id))
    if settings.lakebase_instance_name:
        resources.append(DatabricksLakebase(database_instance_name=settings.lakebase_instance_name))
    return resources


def endpoints_of(settings: Settings) -> list[str]:
    """The serving endpoints of both models and their fallbacks, each once."""
    models = [settings.base_model, *([settings.sub_model] if settings.sub_model else [])]
    names = [name for model in models for name in (model.name, *model.fallbacks)]
    endpoints = [name.removeprefix("databricks:") for name in names if name.startswith("databricks:")]
    return list(dict.fromkeys([*([settings.llm_endpoint_name] if settings.llm_endpoint_name else []), *endpoints]))


@contextmanager
def rehearse() -> Iterator[None]:
    """MLflow tries the example while it logs; within this, requests are read and answered, and nothing is opened."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


def rehearsing() -> bool:
    return _rehearsing.get()


def rehearsal(request: Request) -> Generator[Event, None, None]:
    thread_id, request_id = request.thread_id or str(uuid4()), request.request_id or str(uuid4())
    yield TurnStarted(thread_id, request_id)
    text = "This is a rehearsal: the request was understood, and no model, data or state was touched."
    yield TurnEnded(ConversationResult(text, "success", None, 0, "answer", thread_id, request_id))
