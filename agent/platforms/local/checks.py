"""What the local mode needs, looked at without asking a model."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from agent.home import make_home
from agent.platforms.checks import Check, Finding, reachable

if TYPE_CHECKING:
    from agent.config import ModelSettings, Settings
    from agent.platforms.parts import Given

ENOUGH_BYTES = 2 << 30


def look_at_system(settings: Settings, given: Given) -> Iterator[Finding]:
    said = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 11) <= sys.version_info < (3, 13):
        yield Finding("broken", said, "use Python 3.11 or 3.12")
    elif sys.platform == "darwin":
        yield Finding("missing", said, "nobody has tried it on macOS: Linux is what the tests run on")
    else:
        yield Finding("ok", f"{said}, langgraph {version('langgraph')}, mlflow {version('mlflow')}")


def look_at_home(settings: Settings, given: Given) -> Iterator[Finding]:
    home = make_home(settings.home)
    with TemporaryDirectory(dir=home, prefix="."):
        free = shutil.disk_usage(home).free
    if free < ENOUGH_BYTES:
        yield Finding("missing", f"{home} has {free >> 20:,} MB left", "free some, or set home")
    else:
        yield Finding("ok", f"{home}, {free >> 30:,} GB free")


def look_at_models(settings: Settings, given: Given) -> Iterator[Finding]:
    yield from look_at_model("base_model", settings.base_model, given)
    if settings.sub_model is not None:
        yield from look_at_model("sub_model", settings.sub_model, given)


def look_at_model(section: str, chosen: ModelSettings, given: Given) -> Iterator[Finding]:
    """Opening it finds a missing package or key; whether the key is good only a question can tell."""
    from agent.models import close_model, open_model

    if chosen.name == "offline":
        cure = f"set {section}.name, such as openai:gpt-5 (or --model), and its key in the environment or .env"
        yield Finding("missing", f"{section}.name is offline: rules, not a model", cure)
        return
    if chosen.base_url:
        yield reachable(chosen.base_url, f"{section}.base_url")

    def offline() -> object:
        raise AssertionError("another model was asked for")

    model = open_model(chosen, offline=offline, secrets=given.secrets, workspace=given.workspace, setting=section)  # type: ignore[arg-type]
    close_model(model)
    yield Finding("ok", f"{section}.name is {chosen.name}; its package and key are there")


def look_at_data(settings: Settings, given: Given) -> Iterator[Finding]:
    """The settings' own data: a thread may be about other."""
    gone = [path for path in (*settings.data.paths, settings.data.text) if path and not path.expanduser().exists()]
    for path in gone:
        yield Finding("broken", f"{path} is not there", "check data.paths and data.text")
    if not gone:
        named = [str(path) for path in (*settings.data.paths, settings.data.text) if path]
        yield Finding("ok", ", ".join(named) or ("the sample" if settings.data.sample else "none is named"))


def look_at_stores(settings: Settings, given: Given) -> Iterator[Finding]:
    from agent.platforms.local import open_stores

    with ExitStack() as stack:
        stores = open_stores(settings, given, stack)
        threads = sum(1 for _ in stores.saver.threads())
    yield Finding("ok", f"{threads:,} thread{'s' * (threads != 1)} in {settings.checkpointer.kind}")


def look_at_code(settings: Settings, given: Given) -> Iterator[Finding]:
    """A run of one line, as any other."""
    from agent.artifacts.folder import FolderArtifacts
    from agent.platforms.local.trial import run_trial

    with TemporaryDirectory(dir=make_home(settings.home), prefix=".") as folder:
        result = run_trial(settings, FolderArtifacts(Path(folder)))
    if result.status == "success" and result.stdout.strip() == "42":
        yield Finding("ok", f"runs in a process of its own, in {result.duration_seconds:.1f} s")
    else:
        yield Finding("broken", f"a trial run failed: {result.error or result.stderr}", "see main.py logs")


def look_at_traces(settings: Settings, given: Given) -> Iterator[Finding]:
    if not settings.tracing.enabled:
        yield Finding("missing", "off", "set tracing.enabled to see each step in MLflow")
    elif settings.tracing.uri and settings.tracing.uri.startswith("http"):
        yield reachable(settings.tracing.uri, "tracing.uri")
    else:
        yield Finding("ok", settings.tracing.uri or "a file below home")


def look_at_jobs(settings: Settings, given: Given) -> Iterator[Finding]:
    folder = settings.jobs_folder
    if not folder.is_dir():
        yield Finding("missing", f"no folder {folder}", "put notebooks there to have jobs, or set jobs_folder")
    else:
        yield Finding("ok", f"{sum(1 for _ in folder.glob('*.py')):,} notebooks in {folder}")


def look_at_proxies(settings: Settings, given: Given) -> Iterator[Finding]:
    """Models on this machine can't be reached through a proxy."""
    proxy = next((name for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY") if os.environ.get(name)), None)
    local = any(host in (settings.base_model.base_url or "") for host in ("localhost", "127.0.0.1"))
    exempt = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
    if proxy and local and "localhost" not in exempt and "127.0.0.1" not in exempt:
        yield Finding("broken", f"{proxy} is set and the model is on this machine", "set NO_PROXY=localhost,127.0.0.1")


CHECKS = (
    Check("system", look_at_system),
    Check("home", look_at_home),
    Check("model", look_at_models),
    Check("model", look_at_proxies),
    Check("data", look_at_data),
    Check("threads", look_at_stores),
    Check("code", look_at_code),
    Check("traces", look_at_traces),
    Check("jobs", look_at_jobs),
)
