"""Who asks the model that MLflow serves: on Databricks the user on whose behalf it runs, else the whole endpoint."""

from __future__ import annotations

import logging
from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from typing import Any

from agent.principal import Principal
from agent.serving.door import ENDPOINT

MOST_USERS = 1_000

log = logging.getLogger(__name__)

_names: OrderedDict[str, str] = OrderedDict()
_lock = Lock()


def principal_of_model() -> Principal:
    """Asked in the request's own thread, in which Model Serving keeps the user's token. Outside it: the local user."""
    from mlflow.utils.databricks_utils import is_in_databricks_model_serving_environment

    if not is_in_databricks_model_serving_environment():  # type: ignore[no-untyped-call]
        return Principal()
    client = client_of_user()
    return Principal(ENDPOINT) if client is None else Principal(name_of(client), lambda: client)


def client_of_user() -> Any | None:
    """None when the model was logged without a user's authorization: the endpoint is all that is known."""
    from databricks.sdk import WorkspaceClient
    from databricks_ai_bridge import ModelServingUserCredentials

    try:
        return WorkspaceClient(credentials_strategy=ModelServingUserCredentials())
    except ValueError:
        return None


def name_of(client: Any) -> str:
    """The user's name, asked of the workspace once a token."""
    key = sha256(str(client.config.authenticate()).encode()).hexdigest()
    with _lock:
        if key in _names:
            _names.move_to_end(key)
            return _names[key]
    name = str(client.current_user.me().user_name)
    with _lock:
        _names[key] = name
        while len(_names) > MOST_USERS:
            _names.popitem(last=False)
    return name
