"""What a failed model call means: wait and try again, ask the next model, or say what to change.

Decided by the error's type, its HTTP status and its machine-readable code, never by its text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from typing import Any, Literal

from langchain_core import exceptions as core

Action = Literal["retry", "next", "stop"]
Reason = Literal[
    "rate limited",
    "timed out",
    "unreachable",
    "out of order",
    "garbled",
    "broken off",
    "key refused",
    "quota used up",
    "blocked",
    "unknown model",
    "too long",
    "refused",
]

ACTIONS: dict[Reason, Action] = {
    "rate limited": "retry",
    "timed out": "retry",
    "unreachable": "retry",
    "out of order": "retry",
    "garbled": "retry",
    "broken off": "stop",
    "key refused": "next",
    "quota used up": "next",
    "blocked": "next",
    "unknown model": "stop",
    "too long": "stop",
    "refused": "stop",
}

CODES: dict[str, Reason] = {
    "content_filter": "blocked",
    "content_policy_violation": "blocked",
    "ResponsibleAIPolicyViolation": "blocked",
    "insufficient_quota": "quota used up",
    "context_length_exceeded": "too long",
    "rate_limit_exceeded": "rate limited",
    "server_error": "out of order",
}

STATUSES: dict[int, Reason] = {
    400: "refused",
    401: "key refused",
    402: "quota used up",
    403: "key refused",
    404: "unknown model",
    408: "timed out",
    409: "out of order",
    413: "too long",
    422: "refused",
    425: "out of order",
    429: "rate limited",
}

TYPES: tuple[tuple[str, str, Reason], ...] = (
    ("databricks.sdk.errors", "Unauthenticated", "key refused"),
    ("databricks.sdk.errors", "PermissionDenied", "key refused"),
    ("databricks.sdk.errors", "TooManyRequests", "rate limited"),
    ("databricks.sdk.errors", "TemporarilyUnavailable", "out of order"),
    ("databricks.sdk.errors", "DeadlineExceeded", "timed out"),
    ("databricks.sdk.errors", "InternalError", "out of order"),
    ("databricks.sdk.errors", "NotFound", "unknown model"),
    ("databricks.sdk.errors", "BadRequest", "refused"),
    ("openai", "ContentFilterFinishReasonError", "blocked"),
    ("openai", "APITimeoutError", "timed out"),
    ("openai", "APIConnectionError", "unreachable"),
    ("openai", "APIResponseValidationError", "garbled"),
    ("httpx", "TimeoutException", "timed out"),
    ("httpx", "TransportError", "unreachable"),
    ("httpx2", "TimeoutException", "timed out"),
    ("httpx2", "TransportError", "unreachable"),
    ("requests", "Timeout", "timed out"),
    ("requests", "ConnectionError", "unreachable"),
)
"""Classes by name, most telling first: a class whose module was never imported can't have been raised."""

CORE: tuple[tuple[type[Exception], Reason], ...] = (
    (core.ContextOverflowError, "too long"),
    (core.ModelAuthenticationError, "key refused"),
    (core.ModelPermissionDeniedError, "key refused"),
    (core.ModelRateLimitError, "rate limited"),
    (core.ModelTimeoutError, "timed out"),
    (core.ModelConnectionError, "unreachable"),
    (core.ModelAPIError, "out of order"),
    (core.ModelNotFoundError, "unknown model"),
    (core.ModelInvalidRequestError, "refused"),
    (TimeoutError, "timed out"),
    (ConnectionError, "unreachable"),
    (JSONDecodeError, "garbled"),
)


class Blocked(Exception):
    """The model answered, and its provider's filter withheld the answer."""


class Garbled(Exception):
    """The provider's answer is not one: an empty stream, for instance."""


@dataclass(frozen=True)
class Failure:
    """`retry_after` is the seconds that the provider asks to wait, `detail` its own short words, for people."""

    reason: Reason
    status: int | None = None
    retry_after: float | None = None
    detail: str = ""

    @property
    def action(self) -> Action:
        return ACTIONS[self.reason]


def classify(error: BaseException) -> Failure | None:
    """What the error means; None for an error that is no trouble of the model's service but of the program."""
    reason = reason_of(error)
    if reason == "unreachable":
        reason = next((why for cause in causes(error) if (why := reason_of(cause)) == "key refused"), reason)
    if reason is None:
        return None
    detail = "" if reason == "key refused" else " ".join(str(error).split())[:200]
    return Failure(reason, status_of(error), retry_after(error), detail)


def reason_of(error: BaseException) -> Reason | None:
    if isinstance(error, Blocked):
        return "blocked"
    if isinstance(error, Garbled):
        return "garbled"
    return by_code(error) or by_status(error) or by_type(error)


def by_code(error: BaseException) -> Reason | None:
    body = getattr(error, "body", None)
    inner = body.get("innererror") if isinstance(body, dict) else None
    codes = [getattr(error, "code", None), inner.get("code") if isinstance(inner, dict) else None]
    return next((CODES[code] for code in codes if isinstance(code, str) and code in CODES), None)


def by_status(error: BaseException) -> Reason | None:
    if isinstance(error, core.ContextOverflowError):
        return "too long"
    status = status_of(error)
    if status is None:
        return None
    if status < 300:
        return "garbled"
    return "out of order" if status >= 500 else STATUSES.get(status, "refused")


def by_type(error: BaseException) -> Reason | None:
    for module, name, reason in TYPES:
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(error, kind):
            return reason
    for known, reason in CORE:
        if isinstance(error, known):
            return reason
    api_error = getattr(sys.modules.get("openai"), "APIError", None)
    return "out of order" if api_error is not None and isinstance(error, api_error) else None


def status_of(error: BaseException) -> int | None:
    """The HTTP status, whichever client raised: on the error itself or on the response that it carries."""
    for holder in (error, getattr(error, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int):
            return status
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def retry_after(error: BaseException) -> float | None:
    """Seconds by `retry-after-ms`, `Retry-After` (seconds or a date) or the Databricks SDK's own field."""
    headers: Any = getattr(getattr(error, "response", None), "headers", None) or {}
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = number(value)
    if seconds is None and isinstance(value, str):
        seconds = until(value)
    return seconds if seconds is not None else number(getattr(error, "retry_after_secs", None))


def number(value: object) -> float | None:
    if not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
    except ValueError:
        return None
    return seconds if 0 <= seconds < float("inf") else None


def until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
