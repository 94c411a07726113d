"""The model that needs nothing: rules that read a question's words, write real code, and say that they are rules."""

from agent.models.offline.model import OfflineModel

__all__ = ["OfflineModel"]
