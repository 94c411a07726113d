"""The agent as an MLflow model, from code: what Model Serving, Playground, the Review App and `ai_query` load.

MLflow runs this file under a new module name each time that it loads the model, so nothing here is shared.
"""

import mlflow

from agent.serving.model import ServedAgent

AGENT = ServedAgent()
mlflow.models.set_model(AGENT)
