"""Who asks the model that MLflow serves: on Databricks the user on whose behalf it runs, else the whole endpoint."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256
from threading import Lock
from typing import Any

from agent.principal import Principal
from agent.serving.door import ENDPOINT

MOST_USERS = 1_000

_names: OrderedDict[str, str] = OrderedDict()
_lock = Lock()


def principal_of_model() -> Principal:
    """Asked in the request's own thread, in which Model Serving keeps the user's token. Outside it: the local user."""
    from mlflow.utils.databricks_utils import is_in_databricks_model_serving_environment

    if not is_in_databricks_model_serving_environment():  # type: ignore[no-untyped-call]
        return Principal()
    client = client_of_user()
    if client is None:
        return Principal(ENDPOINT)
    credential = sha256(str(client.config.token).encode()).hexdigest()
    return Principal(name_of(client, credential), lambda: client, credential)


def client_of_user() -> Any | None:
    """Holds this user's token: the vendor's own client asks for one again at each call, whoever's turn it then is.

    None when the model was logged without a user's authorization: the endpoint is all that is known.
    """
    from databricks.sdk import WorkspaceClient
    from databricks_ai_bridge import ModelServingUserCredentials

    try:
        found = WorkspaceClient(credentials_strategy=ModelServingUserCredentials()).config
    except ValueError:
        return None
    token = found.authenticate()["Authorization"].removeprefix("Bearer ")
    return WorkspaceClient(host=found.host, token=token, auth_type="pat")


def name_of(client: Any, credential: str) -> str:
    """The user's name, asked of the workspace once a token."""
    with _lock:
        if credential in _names:
            _names.move_to_end(credential)
            return _names[credential]
    name = str(client.current_user.me().user_name)
    with _lock:
        _names[credential] = name
        while len(_names) > MOST_USERS:
            _names.popitem(last=False)
    return name
