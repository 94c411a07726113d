from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.config import Settings
from agent.core import Agent, open_agent
from agent.models.scripted import ScriptedModel

Opener = Callable[..., Agent]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def opened(home: Path) -> Iterator[Opener]:
    """Opens agents over one home, without sample data unless asked for; closes them after the test."""
    with ExitStack() as stack:

        def opens(
            *script: Any, sub_model: ScriptedModel | None = None, live: Mapping[str, Any] | None = None, **settings: Any
        ) -> Agent:
            model = script[0] if len(script) == 1 and isinstance(script[0], ScriptedModel) else ScriptedModel(*script)
            given = {"home": home, "data": {"sample": False}, "tracing": {"enabled": False}, **settings}
            models = {
                **(live or {}),
                "base_model": model,
                "sub_model": sub_model or ScriptedModel.by(lambda messages: "nothing"),
            }
            return stack.enter_context(open_agent(Settings.model_validate(given), **models))

        yield opens
