"""The model that needs nothing: rules that read a question's words, write real SQL, and say that they are rules."""

from agent.offline.model import OfflineModel
from agent.offline.questions import question_to_sql

__all__ = ["OfflineModel", "question_to_sql"]
