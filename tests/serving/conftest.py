"""MLflow warns about its own type hints while it is imported; here warnings are errors."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.types.responses  # noqa: F401
