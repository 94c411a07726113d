"""The agent. MLflow would tell its makers how it is used; here MLFLOW_DISABLE_TELEMETRY has to say so, as false."""

import os
import sys

if "MLFLOW_DISABLE_TELEMETRY" not in os.environ:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    if imported := sys.modules.get("mlflow.telemetry"):
        imported.set_telemetry_client()  # decides again: MLflow was here first
