"""Signing in to a workspace: found as the SDK finds it, and probed first, since the SDK waits long for a dead host."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from configparser import ConfigParser, Error
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from graph.errors import InvalidRequest

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

T = TypeVar("T")

PROBE_SECONDS = 2.5
"""How long the host may take to answer at all, and then to say who is signed in."""
HTTP_SECONDS = 60
RETRY_SECONDS = 120

INSIDE = ("DATABRICKS_RUNTIME_VERSION", "IS_IN_DB_MODEL_SERVING_ENV")
"""Variables of places where the SDK knows its workspace without being told."""

CREDENTIALS = (
    "set DATABRICKS_HOST with DATABRICKS_TOKEN (or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET), or name a "
    "profile of ~/.databrickscfg in databricks.profile"
)


def open_client(profile: str | None = None, environment: Mapping[str, str] = os.environ) -> WorkspaceClient:
    """A client that is signed in. Within about five seconds it is there, or InvalidRequest says what to set."""
    host = find_host(profile, environment)
    if host is None and not any(environment.get(name) for name in INSIDE):
        raise InvalidRequest(f"There are no credentials for a Databricks workspace: {CREDENTIALS}.")
    import databricks.sdk  # noqa: F401 - takes seconds, which are not the host's

    if host is None:
        return make_client(profile)
    probe(host)
    client = bounded(lambda: make_client(profile), f"The workspace {host} does not let anyone sign in")
    bounded(client.current_user.me, f"The workspace {host} does not say who is signed in")
    return client


def find_host(profile: str | None, environment: Mapping[str, str]) -> str | None:
    """Where the workspace is, by the variables and the file that the SDK looks at; None when nothing says so."""
    named = profile or environment.get("DATABRICKS_CONFIG_PROFILE")
    if profile is None and (host := environment.get("DATABRICKS_HOST", "").strip()):
        return address(host)
    file = Path(environment.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    kept = ConfigParser()
    try:
        kept.read(file, encoding="utf-8")
    except (Error, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} can't be read: {str(error).splitlines()[0]}") from error
    section = kept[named or "DEFAULT"] if not named or named in kept else {}
    if named and not section:
        raise InvalidRequest(f"There is no profile {named} in {file}: check databricks.profile.")
    found = section.get("host", "").strip()
    return address(found) if found else None


def address(host: str) -> str:
    return (host if "://" in host else f"https://{host}").rstrip("/")


def probe(host: str) -> None:
    """Raises InvalidRequest unless something answers there."""
    import requests

    def ask() -> str | None:
        try:
            requests.get(f"{host}/.well-known/databricks-config", timeout=PROBE_SECONDS, allow_redirects=False).close()
        except requests.RequestException as error:
            return type(error).__name__
        return None

    if trouble := bounded(ask, f"The workspace {host} does not answer"):
        raise InvalidRequest(f"The workspace {host} can't be reached ({trouble}): check DATABRICKS_HOST.")


def make_client(profile: str | None) -> WorkspaceClient:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.core import Config

    config = Config(profile=profile, http_timeout_seconds=HTTP_SECONDS, retry_timeout_seconds=RETRY_SECONDS)
    return WorkspaceClient(config=config)


def bounded(work: Callable[[], T], late: str) -> T:
    """What the work returns within PROBE_SECONDS. Raises InvalidRequest when it is late or the workspace refuses."""
    from agent.workspace.refusals import read_refusal, refusals

    answers: SimpleQueue[Any] = SimpleQueue()

    def run() -> None:
        try:
            answers.put((work(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            answers.put((None, error))

    threading.Thread(target=run, name="workspace-probe", daemon=True).start()
    try:
        found, error = answers.get(timeout=PROBE_SECONDS)
    except Empty:
        raise InvalidRequest(f"{late} within {PROBE_SECONDS:g} s: check DATABRICKS_HOST and the network.") from None
    if isinstance(error, refusals()):
        said = read_refusal(error).said
        raise InvalidRequest(f"{late} ({said}): check the credentials; {CREDENTIALS}.") from error
    if error is not None:
        raise error
    result: T = found
    return result
