"""From a model's settings to the model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.language_models import BaseChatModel

from agent.config import ModelSettings
from agent.models.failures import Failure
from agent.models.fallback import Candidate, SteadyModel
from graph.context import Model
from graph.errors import ModelUnavailable

OFFLINE = "offline"
DATABRICKS = "databricks"

KEYS = {
    "anthropic": "ANTHROPIC_API_KEY",
    "azure_openai": "AZURE_OPENAI_API_KEY",
    "cohere": "COHERE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "fireworks": "FIREWORKS_API_KEY",
    "google_genai": "GOOGLE_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistralai": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "perplexity": "PPLX_API_KEY",
    "together": "TOGETHER_API_KEY",
    "xai": "XAI_API_KEY",
}
"""Where providers' libraries look for their key when `api_key_env` is not set."""

RUNNING_TOTALS = {"openai", "azure_openai", DATABRICKS}
"""Providers that speak the OpenAI protocol, in which a stream's token counts are totals so far."""


@dataclass(frozen=True)
class Outside:
    """Where models come from: the offline one, keys by variable name, and a Databricks WorkspaceClient.

    Without `workspace`, ChatDatabricks finds its own credentials.
    """

    offline: Callable[[], BaseChatModel]
    secrets: Callable[[str], str | None] = lambda name: None
    workspace: Callable[[], Any] | None = None


def open_model(
    settings: ModelSettings,
    *,
    offline: Callable[[], BaseChatModel],
    secrets: Callable[[str], str | None] = lambda name: None,
    workspace: Callable[[], Any] | None = None,
    setting: str = "base_model",
) -> Model:
    """The model that the settings name, with its fallbacks. `setting` is the section's name, for messages.

    Raises ModelUnavailable, which names the setting, variable or package to change. Fallbacks are opened when needed.
    """
    outside = Outside(offline, secrets, workspace)
    if settings.name == OFFLINE:
        return Model(offline(), OFFLINE)
    names = (settings.name, *settings.fallbacks)
    candidates = tuple(candidate(name, settings, outside, setting) for name in names)
    candidates[0].open()
    model: Model | None = None
    for position in reversed(range(len(names))):
        chat = SteadyModel(candidates=candidates[position:], retries=settings.retries, patience=settings.timeout)
        prices = settings.input_price, settings.output_price
        model = Model(chat, names[position], *prices, settings.max_output_tokens, fallback=model)
    assert model is not None
    return model


def candidate(name: str, settings: ModelSettings, outside: Outside, setting: str) -> Candidate:
    provider = provider_of(name, settings)

    def advice(failure: Failure) -> str:
        return advise(failure, setting, settings, provider)

    lazy = Lazy(lambda: open_chat(name, provider, settings, outside, setting))
    return Candidate(name, lazy.open, advice, provider in RUNNING_TOTALS, lazy.close)


class Lazy:
    """A chat model that is made when it is first asked for, once."""

    def __init__(self, make: Callable[[], BaseChatModel]) -> None:
        self._make = make
        self._chat: BaseChatModel | None = None
        self._lock = threading.Lock()

    def open(self) -> BaseChatModel:
        with self._lock:
            if self._chat is None:
                self._chat = self._make()
            return self._chat

    def close(self) -> None:
        """Close the client of a ChatDatabricks; other libraries share and close theirs themselves."""
        client = vars(self._chat).get("client") if self._chat is not None else None
        if client is not None and hasattr(client, "close"):
            client.close()


def provider_of(name: str, settings: ModelSettings) -> str:
    """Who serves the model. With `base_url` that server does, except a fallback that names another provider."""
    prefix = name.partition(":")[0]
    elsewhere = name != settings.name and (prefix in KEYS or prefix in (OFFLINE, DATABRICKS)) and prefix != "openai"
    if settings.base_url is not None and not elsewhere:
        return "openai"
    return prefix


def open_chat(name: str, provider: str, settings: ModelSettings, outside: Outside, setting: str) -> BaseChatModel:
    """Raises ModelUnavailable for a missing package or key, or options that the provider refuses."""
    if provider == OFFLINE:
        return outside.offline()
    model = name.removeprefix(f"{provider}:")
    if not model or (":" not in name and settings.base_url is None):
        raise ModelUnavailable(
            f"{setting}.name is {name!r}; write provider:model (openai:gpt-5), databricks:endpoint or {OFFLINE}"
        )
    options = common(settings) | ({} if provider == DATABRICKS else key(settings, provider, outside, setting, name))
    try:
        return construct(model, provider, settings, outside, options)
    except ImportError as error:
        raise ModelUnavailable(f"{setting}.name is {name!r}: {error}".splitlines()[0]) from error
    except Exception as error:  # each provider refuses options and missing keys in its own way
        raise ModelUnavailable(explain_refusal(name, provider, setting, error)) from error


def construct(
    model: str, provider: str, settings: ModelSettings, outside: Outside, options: dict[str, Any]
) -> BaseChatModel:
    if provider == DATABRICKS:
        from databricks_langchain import ChatDatabricks

        client = outside.workspace() if outside.workspace else None
        chat: BaseChatModel = ChatDatabricks(model=model, workspace_client=client, **options)
        return chat
    if "base_url" in options:
        from agent.models.openai_compatible import CompatibleModel

        return CompatibleModel(model=model, use_responses_api=False, **options)
    from langchain.chat_models import init_chat_model

    known: BaseChatModel = init_chat_model(model, model_provider=provider, **options)
    return known


def common(settings: ModelSettings) -> dict[str, Any]:
    """Options that all providers take. Trying again is ours to do, so the clients must not."""
    options = {
        "temperature": settings.temperature,
        "max_tokens": settings.max_output_tokens,
        "timeout": settings.timeout,
        "max_retries": 0,
    }
    return {name: value for name, value in options.items() if value is not None}


def key(settings: ModelSettings, provider: str, outside: Outside, setting: str, name: str) -> dict[str, Any]:
    """The key and the server. The key of OpenAI's own variable never goes to another server."""
    own = name == settings.name or (settings.base_url is not None and provider == "openai")
    chosen = settings.api_key_env if own else None
    value = outside.secrets(chosen) if chosen else None
    if chosen and not value:
        raise ModelUnavailable(f"{setting}.api_key_env names the variable {chosen}, which is not set")
    streaming = {"stream_usage": True} if provider in RUNNING_TOTALS else {}
    if own and settings.base_url is not None:
        return {"base_url": settings.base_url, "api_key": value or "none", **streaming}
    value = value or (outside.secrets(KEYS[provider]) if provider in KEYS else None)
    return {**({"api_key": value} if value else {}), **streaming}


def explain_refusal(name: str, provider: str, setting: str, error: Exception) -> str:
    reason = (str(error) or type(error).__name__).splitlines()[0][:200]
    if provider == DATABRICKS:
        return f"{name} can't be opened ({reason}); set DATABRICKS_HOST and DATABRICKS_TOKEN, or change {setting}.name"
    variable = KEYS.get(provider, "its key's variable")
    return f"{name} can't be opened ({reason}); set {variable} or {setting}.api_key_env, or change {setting}.name"


def advise(failure: Failure, setting: str, settings: ModelSettings, provider: str) -> str:
    """One line: what happened and what to change."""
    where = f" at {settings.base_url}" if settings.base_url else ""
    status = f" (HTTP {failure.status})" if failure.status else ""
    waited = failure.action == "retry" and (failure.retry_after or 0.0) <= settings.timeout
    tries = f"after {settings.retries + 1} tries" if waited else ""
    variable = settings.api_key_env or ("DATABRICKS_TOKEN" if provider == DATABRICKS else KEYS.get(provider, "its key"))
    detail = f": {failure.detail}" if failure.detail else ""
    wait = f" and asks to wait {failure.retry_after:.0f} s" if failure.retry_after is not None else ""
    return {
        "rate limited": f"is rate limited{status}{wait} {tries}; raise {setting}.retries or name {setting}.fallbacks",
        "timed out": f"gave no answer within {settings.timeout:g} s {tries}; raise {setting}.timeout",
        "unreachable": f"can't be reached{where} {tries}; check the network and {setting}.base_url",
        "out of order": f"is out of order{status} {tries}; try later or name {setting}.fallbacks",
        "garbled": f"does not answer like a chat model{where} {tries}; check {setting}.base_url and {setting}.name",
        "broken off": "broke its reply off midway; ask again",
        "key refused": f"refused the key{status}; check {variable} and {setting}.api_key_env",
        "quota used up": f"says that the quota is used up{status}; check the account or name {setting}.fallbacks",
        "blocked": f"blocked the content{status}; rephrase the question or name {setting}.fallbacks",
        "unknown model": f"does not know this model{status}; check {setting}.name",
        "too long": f"can't read so much at once{status}; lower digesting.leaf_tokens and memory.window_chars",
        "refused": f"refused the request{status}{detail}; check {setting}",
    }[failure.reason].replace(" ;", ";")
