"""Chat models by their settings: which one, with which key, tried how often, and what stands in for it."""

from agent.models.factory import open_model
from agent.models.fallback import SteadyModel, cancellable, close_model

__all__ = ["SteadyModel", "cancellable", "close_model", "open_model"]
