"""The two models of a workbench, by their settings or as they were given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from graph.context import Model

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from agent.config import ModelSettings, Settings
    from agent.platforms.parts import Given

Offline = Callable[[], "BaseChatModel"]
"""Makes the model that needs nothing: it knows the workbench's data."""


def open_models(
    settings: Settings, given: Given, workspace: Callable[[], Any] | None, offline: Offline
) -> tuple[Model, Model]:
    """Base model and sub-model; without settings of its own, the sub-model is the base model without tools."""

    def model_of(section: str, chosen: ModelSettings, chat: BaseChatModel | None) -> Model:
        from agent.models import open_model

        if chat is not None:
            prices = chosen.input_price, chosen.output_price
            return Model(chat, type(chat).__name__, *prices, chosen.max_output_tokens)
        return open_model(chosen, offline=offline, secrets=given.secrets, workspace=workspace, setting=section)

    base = model_of("base_model", settings.base_model, given.base_model)
    if settings.sub_model is None and given.sub_model is None:
        return base, base
    return base, model_of("sub_model", settings.sub_model or settings.base_model, given.sub_model)
