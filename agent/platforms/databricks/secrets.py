"""Keys of models and repositories: from the environment, then from a secret scope of the workspace."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from agent.platforms.parts import Secrets
from agent.workspace.refusals import named
from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient


def find_secrets(first: Secrets, client: Callable[[], WorkspaceClient], scope: str | None) -> Secrets:
    """Looks a key up by its variable's name: `first`, then in the scope under the same name."""
    if scope is None:
        return first

    @cache
    def in_scope(name: str) -> str | None:
        from databricks.sdk.errors import NotFound

        with named(InvalidRequest, f"The secret {scope}/{name}", "databricks.secret_scope"):
            try:
                value = client().secrets.get_secret(scope, name).value
            except NotFound:
                return None
            return base64.b64decode(value or "").decode()

    return lambda name: first(name) or in_scope(name)
