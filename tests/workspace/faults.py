"""Faults, scripted per path and count.

    ws.faults.on("/api/2.2/jobs/run-now", reset(after=True))           # the run starts, the answer is lost
    ws.faults.on("/api/2.0/sql/*", status(503), times=2)
    ws.faults.on("/api/2.0/sql/*", too_many_requests(retry_after=1))

A path may have `*`. Rules are tried in the order they were made; each strikes `times` requests after `skip` of them.
The handshake (`/.well-known/…`, `/oidc/…`) and the storage behind signed links are exempt from rules for other paths,
so that a client can always be made; a rule that names them strikes them: `ws.faults.on(RESULTS, storage(503))`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from fnmatch import fnmatchcase
from typing import Literal

EXEMPT = ("/.well-known/", "/oidc/", "/_stand-in/")
# The storage behind signed links: the chunks of results, files that are downloaded, parts that are uploaded.
RESULTS, FILES, PARTS = "/_stand-in/results/*", "/_stand-in/files/*", "/_stand-in/parts/*"
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    413: "MAX_REQUEST_SIZE_EXCEEDED",
    429: "REQUEST_LIMIT_EXCEEDED",
    499: "CANCELLED",
    500: "INTERNAL_ERROR",
    501: "NOT_IMPLEMENTED",
    502: "BAD_GATEWAY",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

Effect = Literal["reset", "hang", "status", "truncated", "malformed", "empty", "stale"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong. `after`: the request has its effect first and only the answer suffers."""

    effect: Effect
    after: bool = False
    status: int = 500
    code: str = "INTERNAL_ERROR"
    retry_after: str | None = None
    seconds: float = 3600.0
    xml: str | None = None


@dataclass(frozen=True)
class Rule:
    """Where and how often a fault strikes."""

    path: str
    fault: Fault
    method: str | None
    times: int
    skip: int

    def fits(self, method: str, path: str) -> bool:
        """Whether it is about this request."""
        exempt = any(path.startswith(start) and not self.path.startswith(start) for start in EXEMPT)
        return not exempt and self.method in (None, method) and fnmatchcase(path, self.path)


def reset(*, after: bool = False) -> Fault:
    """The connection is reset (RST)."""
    return Fault("reset", after)


def hang(seconds: float = 3600.0, *, after: bool = False) -> Fault:
    """No answer for so long; then the connection is reset."""
    return Fault("hang", after, seconds=seconds)


def status(code: int, error_code: str | None = None, *, after: bool = False) -> Fault:
    """An error status with Databricks's error body, and the error code that goes with it."""
    return Fault("status", after, status=code, code=error_code or CODES[code])


def storage(code: Literal[403, 404, 500, 503] = 503) -> Fault:
    """What cloud storage says behind a signed link, in XML: SlowDown, AccessDenied, NoSuchKey, InternalError."""
    word = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}[code]
    return Fault("status", status=code, code=word, xml=f"<Error><Code>{word}</Code></Error>")


def too_many_requests(retry_after: float | None = 1, *, as_date: bool = False) -> Fault:
    """429, with Retry-After in seconds, or as an HTTP date, or (None) without it."""
    header = None
    if retry_after is not None:
        moment = datetime.now(UTC) + timedelta(seconds=retry_after)
        header = format_datetime(moment, usegmt=True) if as_date else str(retry_after)
    return Fault("status", status=429, code="REQUEST_LIMIT_EXCEEDED", retry_after=header)


def expired_token(code: Literal[401, 403] = 401) -> Fault:
    """The token is refused as if it had just expired."""
    return Fault("status", status=code, code="UNAUTHENTICATED" if code == 401 else "PERMISSION_DENIED")


def truncated() -> Fault:
    """The effect happens; half of the body arrives, then the connection closes."""
    return Fault("truncated", after=True)


def malformed() -> Fault:
    """The effect happens; the body is not JSON."""
    return Fault("malformed", after=True)


def empty() -> Fault:
    """The effect happens; 200 with no body at all."""
    return Fault("empty", after=True)


def stale() -> Fault:
    """Eventual consistency: a GET is answered as it was last answered (an empty object if it never was)."""
    return Fault("stale")


class Faults:
    """The script; safe for many threads."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.struck: list[tuple[str, str, Fault]] = []

    def on(self, path: str, fault: Fault, *, method: str | None = None, times: int = 1, skip: int = 0) -> None:
        """Strike the next `times` requests on a path, after `skip` of them have passed."""
        with self._lock:
            self._rules.append(Rule(path, fault, method, times, skip))

    def clear(self) -> None:
        """Forget every rule."""
        with self._lock:
            self._rules.clear()

    @contextmanager
    def during(self, path: str, fault: Fault, *, method: str | None = None) -> Iterator[None]:
        """Strike every request on a path while the block runs."""
        rule = Rule(path, fault, method, 10**9, 0)
        with self._lock:
            self._rules.append(rule)
        try:
            yield
        finally:
            with self._lock:
                self._rules = [known for known in self._rules if known.path != path or known.fault != fault]

    def take(self, method: str, path: str) -> Fault | None:
        """The fault for this request, and one fewer left."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if not rule.fits(method, path):
                    continue
                if rule.skip:
                    self._rules[index] = replace(rule, skip=rule.skip - 1)
                    continue
                self._spend(index, rule)
                self.struck.append((method, path, rule.fault))
                return rule.fault
        return None

    def _spend(self, index: int, rule: Rule) -> None:
        if rule.times > 1:
            self._rules[index] = replace(rule, times=rule.times - 1)
        else:
            del self._rules[index]
