"""A registered model behind an endpoint: loaded in a process of its own, in the environment that it was logged with.

It signs in as a service principal of its own, which may use what the model names as its resources.
"""

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import yaml

from tests.workspace.errors import ApiError, bad_request
from tests.workspace.lifeline import Lifeline
from tests.workspace.mounts import as_on_databricks

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace

START_TIMEOUT = 120.0
TICK = 0.05
# What automatic authentication lets a model do with each resource that it names: (kind of grant, privilege).
_RESOURCES = {
    "serving_endpoint": ("serving-endpoints", "CAN_QUERY"),
    "sql_warehouse": ("warehouses", "CAN_USE"),
    "genie_space": ("genie", "CAN_RUN"),
    "table": ("TABLE", "SELECT"),
    "function": ("FUNCTION", "EXECUTE"),
}


class LoadFailed(Exception):
    """The model does not come up; the message has its log."""


class ModelServer:
    """One served version. Made when it answers; raises InstallationFailed or LoadFailed otherwise."""

    def __init__(self, ws: "Workspace", endpoint: str, entity: dict[str, Any], creator: str) -> None:
        self.entity = entity
        model = ws.volumes.model(str(entity["entity_name"]), str(entity["entity_version"]))
        self._directory = ws.directory / "served" / f"{endpoint}-{time.time_ns()}"
        self._directory.mkdir(parents=True)
        self.log = self._directory / "log"
        lines = (model / "requirements.txt").read_text().splitlines() if (model / "requirements.txt").exists() else []
        python = ws.environments.python(tuple(lines))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [str(python), "-W", "ignore", "-m", "dbruntime.serve", str(model), str(port)]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                as_on_databricks(command, ws.directory, []),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                env={**self._environment(ws, endpoint, model), **_declared(ws, entity, creator)},
                start_new_session=True,
            )
        self._lifeline = Lifeline(-self._process.pid)
        self._await()

    def stop(self) -> None:
        """End it."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(5)
        self._lifeline.release()

    def _environment(self, ws: "Workspace", endpoint: str, model: Path) -> dict[str, str]:
        """Model Serving's variables, with a token of the endpoint's own service principal."""
        principal = ws.principals.add_service_principal(f"endpoint {endpoint}").name
        for kind, privilege, name in _resources(model):
            for single in _with_use(kind, privilege, name):
                ws.grants.allow(principal, *single)
        token = ws.tokens.mint(principal, prefix="eyJ").value
        secret = self._directory / "model-dependencies-oauth-token"
        secret.write_text(json.dumps({"OAUTH_TOKEN": [{"oauthTokenValue": token}]}))
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self._directory),
            "IS_IN_DB_MODEL_SERVING_ENV": "true",
            "DB_MODEL_SERVING_HOST_URL": ws.url,
            "DATABRICKS_MODEL_SERVING_HOST_URL": ws.url,
            "SERVING_CREDENTIALS_DIR": str(self._directory),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _await(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/ping", timeout=2).status_code == 200:
                    return
            time.sleep(TICK)
        self.stop()
        raise LoadFailed(self.log.read_text(errors="replace")[-2000:])


def check_entity(ws: "Workspace", entity: dict[str, Any], user: str) -> None:
    """Refuse an entity that can't be served, as Databricks does before it begins."""
    name, version = entity.get("entity_name"), entity.get("entity_version")
    if not name or not version:
        raise bad_request("Each served entity needs an entity_name and an entity_version.")
    if not ws.may(user, "EXECUTE", "MODEL", name):
        raise ApiError(403, "PERMISSION_DENIED", f"User {user} does not have EXECUTE on Routine or Model '{name}'.")
    ws.volumes.model(name, str(version))
    _declared(ws, entity, user)


def _declared(ws: "Workspace", entity: dict[str, Any], creator: str) -> dict[str, str]:
    """The entity's variables; `{{secrets/scope/key}}` is read as the endpoint's creator."""
    found = {}
    for name, value in (entity.get("environment_vars") or {}).items():
        text = str(value)
        if text.startswith("{{secrets/") and text.endswith("}}"):
            scope, _, key = text[len("{{secrets/") : -2].partition("/")
            ws.grants.check(creator, "READ", "secret_scope", scope)
            text = ws.secrets.get(scope, key).decode()
        found[name] = text
    return found


def _resources(model: Path) -> list[tuple[str, str, str]]:
    """What an MLmodel file names: kind, privilege, name."""
    about = yaml.safe_load((model / "MLmodel").read_text())
    policy = (about.get("auth_policy") or {}).get("system_auth_policy") or {}
    named = ((about.get("resources") or policy.get("resources") or {}).get("databricks")) or {}
    return [
        (*_RESOURCES[kind], str(item["name"])) for kind, items in named.items() if kind in _RESOURCES for item in items
    ]


def _with_use(kind: str, privilege: str, name: str) -> list[tuple[str, str, str]]:
    from tests.workspace.sql.access import Need

    if kind not in ("TABLE", "FUNCTION"):
        return [(privilege, kind, name)]
    return [(need.privilege, need.kind, need.name) for need in Need(privilege, kind, name).whole()]
