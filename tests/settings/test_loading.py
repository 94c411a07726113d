"""Where a setting's value comes from, and what is said when one can't be used."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agent.config import Settings, SettingsError, load_settings, settings_keys
from agent.settings.environment import ADK, Ignored, variable

ROOT = Path(__file__).parents[2]


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(*given: Any, **more: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(*given, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_file_in_the_project_says_exactly_the_defaults_of_the_code() -> None:
    assert load_settings(ROOT / "config.yaml", {}, {}).settings == Settings()


def test_the_file_in_the_project_has_every_key_and_a_comment_beside_each() -> None:
    lines = [line for line in (ROOT / "config.yaml").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert [line for line in lines if " # " not in line] == []
    found, section = set(), ""
    for line in lines:
        name = line.split(":")[0]
        section = section if name.startswith(" ") else name
        found.add(f"{section}.{name.strip()}" if name.startswith(" ") else name)
    assert set(settings_keys()) <= found


def test_without_anything_the_defaults_are_in_force() -> None:
    loaded = load_settings(None, {}, {})
    assert loaded.settings == Settings()
    assert set(loaded.provenance.values()) == {"default"}


def test_the_command_line_wins_over_the_environment_over_dotenv_over_the_file_over_the_default(tmp_path: Path) -> None:
    layers = [written(tmp_path, "app_name: file"), {"RLM_APP_NAME": "env"}, {"app_name": "flag"}]
    dotenv = {"RLM_APP_NAME": "dotenv"}

    def in_force(file: Any, environment: Any, overrides: Any, dotenv: Any) -> tuple[str, str]:
        loaded = load_settings(file, environment, overrides, dotenv=dotenv)
        return loaded.settings.app_name, loaded.provenance["app_name"]

    assert in_force(layers[0], layers[1], layers[2], dotenv) == ("flag", "command line")
    assert in_force(layers[0], layers[1], {}, dotenv) == ("env", "RLM_APP_NAME")
    assert in_force(layers[0], {}, {}, dotenv) == ("dotenv", "RLM_APP_NAME (.env)")
    assert in_force(layers[0], {}, {}, {}) == ("file", "config.yaml line 1")
    assert in_force(None, {}, {}, {}) == ("rlm-agent", "default")


def test_an_empty_text_counts_as_not_set_wherever_it_stands(tmp_path: Path) -> None:
    file = written(tmp_path, 'mode: ""\ngenie:\n  space_id: ""\ndata:\nlimits: ""\nuser_id:\n')
    loaded = load_settings(file, {"RLM_MODE": " ", "ADK_USER_ID": ""}, {"home": ""})
    assert loaded.settings == Settings()


def test_null_takes_a_limit_away_where_none_is_allowed(tmp_path: Path) -> None:
    file = written(tmp_path, "limits:\n  max_tokens: null\n  max_iterations: null\n")
    limits = load_settings(file, {"RLM_LIMITS__MAX_SECONDS": "none"}, {}).settings.limits
    assert (limits.max_tokens, limits.max_seconds, limits.max_iterations) == (None, None, 10)


def test_ids_of_digits_stay_texts_also_without_quotes(tmp_path: Path) -> None:
    file = written(tmp_path, "databricks_job_id: 0123\nuser_id: yes\nmlflow_experiment_id: 1_000\n")
    settings = load_settings(file, {}, {}).settings
    assert (settings.databricks_job_id, settings.user_id, settings.mlflow_experiment_id) == ("0123", "yes", "1_000")


def test_the_keys_of_the_async_agent_keep_their_names(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
mlflow_experiment_id: "1"
llm_endpoint_name: "databricks-claude-sonnet-4-5"
system_prompt: "Be brief."
lakebase_instance_name: "lake"
databricks_job_id: "2"
genie:
  space_id: "3"
  agent_name: "Ask"
  description: "Vendors"
""",
    )
    settings = load_settings(file, {}, {}).settings
    assert settings.base_model.name == "databricks:databricks-claude-sonnet-4-5"
    assert (settings.genie.space_id, settings.genie.agent_name, settings.system_prompt) == ("3", "Ask", "Be brief.")


def test_an_endpoint_is_the_base_model_unless_a_base_model_is_named() -> None:
    endpoint = {"RLM_LLM_ENDPOINT_NAME": "claude"}
    loaded = load_settings(None, endpoint, {})
    assert loaded.settings.base_model.name == "databricks:claude"
    assert loaded.provenance["base_model.name"] == "RLM_LLM_ENDPOINT_NAME"
    assert load_settings(None, endpoint, {"base_model.name": "offline"}).settings.base_model.name == "offline"


def test_a_sub_model_without_a_name_is_the_base_model_with_changes() -> None:
    base = {"base_model": {"name": "openai:big", "timeout": 9}}
    assert load_settings(base, {}, {}).settings.sub_model is None
    changed = load_settings(base, {"RLM_SUB_MODEL__TEMPERATURE": "0"}, {}).settings.sub_model
    assert changed is not None
    assert (changed.name, changed.timeout, changed.temperature) == ("openai:big", 9.0, 0.0)
    other = load_settings(base, {"RLM_SUB_MODEL__NAME": "openai:small"}, {}).settings.sub_model
    assert other is not None
    assert (other.name, other.timeout) == ("openai:small", 120.0)


BAD_FILES = [
    ("limits:\n  max_iteration: 3", "config.yaml line 2: there is no setting limits.max_iteration; did you mean "),
    (
        "max_iterations: 3",
        "config.yaml line 1: there is no setting max_iterations; did you mean limits.max_iterations?",
    ),
    ("zzz: 1", "config.yaml line 1: there is no setting zzz; known are mode, home"),
    ("limits: 3", "config.yaml line 1: limits is a section; set limits.max_iterations"),
    ("mode: cloud", "config.yaml line 1: mode must be one of local, databricks, not 'cloud'"),
    (
        "limits:\n  max_iterations: many",
        "config.yaml line 2: limits.max_iterations must be a whole number, at least 1, n",
    ),
    ("limits: {run_seconds: .nan}", "config.yaml line 1: limits.run_seconds must be seconds, more than 0, not '.nan'"),
    ("data: {sample: maybe}", "config.yaml line 1: data.sample must be true or false, not 'maybe'"),
    ("serve:\n  port: 99999", "config.yaml line 2: serve.port must be a port, 0 to 65535"),
    ("base_model:\n  api_key: sk-12345678", "config.yaml line 2: there is no setting base_model.api_key; did you mean"),
    (
        "base_model: {temperature: [1]}",
        "config.yaml line 1: base_model.temperature must be a number from 0 to 2, or nu",
    ),
    ("data:\n  paths: [{a: 1}]", "config.yaml line 2: data.paths may be a list of plain values only"),
    ("mode: local\nmode: local", "config.yaml line 2: mode is there twice (first in line 1)"),
    ("genie: &a\n  space_id: *a", "config.yaml line"),
    ("mode: [", "line 1: not valid YAML: "),
    ("a: b: c", "config.yaml line 1: not valid YAML: mapping values are not allowed here"),
    ("\tmode: local", "config.yaml line 1: not valid YAML: "),
    ("- mode", "line 1: must hold keys and values"),
    ("mode: \x07", "not valid YAML"),
]


@pytest.mark.parametrize(("text", "says"), BAD_FILES)
def test_a_bad_file_is_refused_in_one_line_that_names_key_and_place(text: str, says: str, tmp_path: Path) -> None:
    message = refused(written(tmp_path, text), {}, {})
    assert says in message
    assert "sk-" not in message


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path: Path) -> None:
    assert "none.yaml: there is no such file; check --config" in refused(tmp_path / "none.yaml", {}, {})
    assert "can't be read" in refused(tmp_path, {}, {})
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    assert "bytes.yaml: not a text in UTF-8" in refused(tmp_path / "bytes.yaml", {}, {})


BAD_VARIABLES = [
    ({"RLM_LIMITS__MAX_ITERATION": "3"}, "there is no such setting; did you mean RLM_LIMITS__MAX_ITERATIONS?"),
    ({"RLM_BASE_MODEL_NAME": "x"}, "RLM_BASE_MODEL_NAME: there is no such setting; did you mean RLM_BASE_MODEL__NAME?"),
    ({"RLM_GENIE": "{}"}, "RLM_GENIE names a section; set RLM_GENIE__SPACE_ID"),
    ({"RLM_DATA__PATHS": "[1"}, "RLM_DATA__PATHS: data.paths must be a list"),
    ({"ADK_MAX_ITERATIONS": "0"}, "ADK_MAX_ITERATIONS: limits.max_iterations must be a whole number, at least 1"),
    ({"ADK_MODEL_PROVIDER": "aws"}, "ADK_MODEL_PROVIDER: must be one of gemini, litellm"),
    ({"ADK_MODEL_PROVIDER": "gemini"}, "ADK_MODEL_PROVIDER is gemini: set ADK_GEMINI_MODEL too"),
]


@pytest.mark.parametrize(("variables", "says"), BAD_VARIABLES)
def test_a_bad_variable_is_refused_by_its_own_name(variables: dict[str, str], says: str) -> None:
    assert says in refused(None, variables, {})


def test_a_key_put_where_its_variables_name_belongs_is_refused_and_not_repeated() -> None:
    message = refused(None, {"RLM_BASE_MODEL__API_KEY_ENV": "sk-proj-12345678"}, {})
    assert "must be the name of an environment variable in capitals" in message
    assert "sk-" not in message


OLDER = [
    ({"ADK_RUN_MODE": "databricks"}, {"mode": "databricks"}),
    ({"ADK_MAX_ITERATIONS": "4"}, {"limits.max_iterations": 4}),
    ({"ADK_DELTA_CATALOG": "main", "ADK_DELTA_SCHEMA": "adk"}, {"data.catalog": "main", "data.schema": "adk"}),
    ({"ADK_USER_ID": "ann"}, {"user_id": "ann"}),
    ({"ADK_LOCAL_DB_PATH": "a.duckdb"}, {"checkpointer.path": "a.duckdb", "checkpointer.kind": "duckdb"}),
    ({"ADK_LOCAL_DB_PATH": "a.db"}, {"checkpointer.path": "a.db", "checkpointer.kind": "sqlite"}),
    ({"ADK_MODEL_PROVIDER": "gemini", "ADK_GEMINI_MODEL": "g3"}, {"base_model.name": "google_genai:g3"}),
    ({"ADK_GEMINI_MODEL": "g3", "ADK_LITELLM_MODEL": "openai/o"}, {"base_model.name": "google_genai:g3"}),
    (
        {"ADK_MODEL_PROVIDER": "litellm", "ADK_GEMINI_MODEL": "g3", "ADK_LITELLM_MODEL": "openai/o"},
        {"base_model.name": "openai:o"},
    ),
    ({"ADK_LITELLM_MODEL": "openai/o"}, {"base_model.name": "openai:o"}),
    ({"ADK_USER_ID": "old", "RLM_USER_ID": "new"}, {"user_id": "new"}),
]


@pytest.mark.parametrize(("variables", "means"), OLDER)
def test_older_names_mean_what_they_meant(variables: dict[str, str], means: dict[str, Any]) -> None:
    rows = {key: value for key, value, _ in load_settings(None, variables, {}).rows()}
    assert {key: rows[key] for key in means} == means


def test_older_names_without_effect_are_told_with_the_reason_and_others_programs_names_left_alone() -> None:
    unheard = {name: "x" for name, entry in ADK.items() if isinstance(entry, Ignored)}
    loaded = load_settings(None, {**unheard, "ADK_OF_SOMEONE_ELSE": "x"}, {})
    assert loaded.settings == Settings()
    assert set(loaded.ignored) == set(unheard)
    assert all(loaded.ignored.values())


def test_every_number_refuses_what_is_below_zero() -> None:
    numeric = [key for key in settings_keys().values() if "number" in key.may_be or "US dollars" in key.may_be]
    numeric += [key for key in settings_keys().values() if "seconds" in key.may_be or "port" in key.may_be]
    assert len(numeric) > 30
    for key in numeric:
        assert key.name in refused(None, {variable(key.name): "-1"}, {})


def test_settings_that_were_logged_with_a_model_load_again() -> None:
    settings = load_settings({"data.schema": "s", "limits": {"max_tokens": 5}}, {}, {}).settings
    logged = settings.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert load_settings(json.loads(json.dumps(logged)), {}, {}).settings == settings


TEXT = some.text(min_size=1, max_size=30).filter(lambda text: text.strip().lower() not in ("", "null", "none"))


@given(TEXT)
def test_any_text_in_a_variable_arrives_as_it_is(text: str) -> None:
    assert load_settings(None, {"RLM_SYSTEM_PROMPT": text}, {}).settings.system_prompt == text


@given(some.lists(TEXT.filter(lambda text: "," not in text and text == text.strip() and text[0] != "[")))
def test_a_list_arrives_the_same_with_commas_and_as_json(entries: list[str]) -> None:
    as_json = load_settings(None, {"RLM_BASE_MODEL__FALLBACKS": json.dumps(entries)}, {}).settings
    with_commas = load_settings(None, {"RLM_BASE_MODEL__FALLBACKS": ",".join(entries)}, {}).settings
    assert as_json.base_model.fallbacks == with_commas.base_model.fallbacks == tuple(entries)


@given(some.sampled_from(sorted(settings_keys())), some.text(max_size=20))
def test_whatever_a_variable_holds_it_is_taken_or_refused_by_name(key: str, text: str) -> None:
    try:
        load_settings(None, {variable(key): text}, {})
    except SettingsError as error:
        assert variable(key) in str(error)  # noqa: PT017 - both ends are fine
        assert len(str(error).splitlines()) == 1  # noqa: PT017


@given(some.sampled_from(sorted(settings_keys())))
def test_a_key_and_its_variable_are_one_to_one(key: str) -> None:
    assert [known for known in settings_keys() if variable(known) == variable(key)] == [key]
