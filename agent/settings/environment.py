"""Settings in environment variables: `RLM_…` by the name of the key, and the older systems' names in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from agent.settings.error import SettingsError
from agent.settings.keys import Given, Key, suggestion

PREFIX = "RLM_"

Variables = Mapping[str, str]


@dataclass(frozen=True)
class Alias:
    """An older name. `translate` turns its value into the key's, or says None when another variable decides."""

    key: str
    translate: Callable[[str, Variables], str | None] = lambda value, variables: value


@dataclass(frozen=True)
class Ignored:
    """An older name that nothing listens to, and why."""

    reason: str


def provider(value: str, variables: Variables) -> str | None:
    """Only checked: the model's own variable gives the name."""
    wanted = {"gemini": "ADK_GEMINI_MODEL", "litellm": "ADK_LITELLM_MODEL"}
    if value not in wanted:
        raise SettingsError(f"ADK_MODEL_PROVIDER: must be one of {', '.join(wanted)}, not {value!r}")
    if not variables.get(wanted[value], "").strip():
        raise SettingsError(f"ADK_MODEL_PROVIDER is {value}: set {wanted[value]} too, or RLM_BASE_MODEL__NAME alone")
    return None


def gemini(value: str, variables: Variables) -> str | None:
    return None if variables.get("ADK_MODEL_PROVIDER") == "litellm" else f"google_genai:{value}"


def litellm(value: str, variables: Variables) -> str | None:
    """`openai/gpt-4o` is `openai:gpt-4o` here. Gemini was the provider when none was named."""
    chosen = variables.get("ADK_MODEL_PROVIDER") or ("gemini" if variables.get("ADK_GEMINI_MODEL") else "litellm")
    if chosen == "gemini":
        return None
    return value.replace("/", ":", 1)


def store_kind(value: str, variables: Variables) -> str:
    return "duckdb" if value.endswith((".duckdb", ".ddb")) else "sqlite"


OF_JOBS = "a parameter of the orchestrator's job"

ADK: dict[str, tuple[Alias, ...] | Ignored] = {
    "ADK_RUN_MODE": (Alias("mode"),),
    "ADK_MAX_ITERATIONS": (Alias("limits.max_iterations"),),
    "ADK_DELTA_CATALOG": (Alias("data.catalog"),),
    "ADK_DELTA_SCHEMA": (Alias("data.schema"),),
    "ADK_USER_ID": (Alias("user_id"),),
    "ADK_LOCAL_DB_PATH": (Alias("checkpointer.path"), Alias("checkpointer.kind", store_kind)),
    "ADK_MODEL_PROVIDER": (Alias("base_model.name", provider),),
    "ADK_GEMINI_MODEL": (Alias("base_model.name", gemini),),
    "ADK_LITELLM_MODEL": (Alias("base_model.name", litellm),),
    "ADK_LOCAL_ARTIFACTS_PATH": Ignored("artifacts lie in the folder artifacts below home; set RLM_HOME"),
    "ADK_FALLBACK_ON_BLOCKED": Ignored("the models in base_model.fallbacks are asked when content is blocked"),
    "ADK_PROMPT": Ignored(f"{OF_JOBS}; here the question is an argument"),
    "ADK_PROMPT_FILE": Ignored(f"{OF_JOBS}; here `-` reads the question from standard input"),
    "ADK_SESSION_ID": Ignored(f"{OF_JOBS}; here --thread goes on with a thread"),
    "ADK_EXECUTOR_JOB_ID": (Alias("execution.job_id"),),
    "ADK_ORCHESTRATOR_JOB_ID": Ignored("a parameter of the ingestor's job"),
    "ADK_SQL_WAREHOUSE_ID": (Alias("data.warehouse_id"),),
    "ADK_SECRET_SCOPE": (Alias("databricks.secret_scope"),),
    "ADK_LOCAL_SYNC_TO_UC": Ignored("tables are not synchronized to Unity Catalog yet"),
}


def read_environment(variables: Variables, keys: Mapping[str, Key], source: str = "") -> list[Given]:
    """What the variables give; `RLM_…` wins over older names. `source` is put behind a name, as in `RLM_MODE (.env)`.

    Raises SettingsError for an RLM_ name that no setting has.
    """
    behind = f" ({source})" if source else ""
    older = [given for name in ADK for given in translate(name, variables, behind)]
    return [*older, *own(variables, keys, behind)]


def own(variables: Variables, keys: Mapping[str, Key], behind: str) -> Iterator[Given]:
    names = {variable(key): key for key in keys}
    for name, value in variables.items():
        if name in names:
            if value.strip():
                yield Given(names[name], value, f"{name}{behind}")
        elif name.startswith(PREFIX):
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            if members := [variable(known) for known in keys if known.startswith(f"{key}.")]:
                raise SettingsError(f"{name}{behind} names a section; set {', '.join(members)}")
            raise SettingsError(f"{name}{behind}: there is no such setting; {suggestion(key, keys, variable)}")


def translate(name: str, variables: Variables, behind: str) -> Iterator[Given]:
    value, aliases = variables.get(name, "").strip(), ADK[name]
    if not value or isinstance(aliases, Ignored):
        return
    for alias in aliases:
        if (meant := alias.translate(value, variables)) is not None:
            yield Given(alias.key, meant, f"{name}{behind}")


def find_ignored(variables: Variables) -> dict[str, str]:
    """The older names that are set and have no effect, with the reason."""
    return {name: why.reason for name, why in ADK.items() if isinstance(why, Ignored) and variables.get(name)}


def variable(key: str) -> str:
    """`base_model.name` is RLM_BASE_MODEL__NAME."""
    return PREFIX + key.upper().replace(".", "__")
