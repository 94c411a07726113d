"""The agent: everything that needs a model, data, files or a network. `graph` below it needs none of them.

MLflow would tell its makers how it is used; here MLFLOW_DISABLE_TELEMETRY has to say so, as false.
"""

import os
import sys

__version__ = "0.2.0"

if "MLFLOW_DISABLE_TELEMETRY" not in os.environ:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if imported := sys.modules.get("mlflow.telemetry"):
        imported.set_telemetry_client()  # decides again: MLflow was here first
