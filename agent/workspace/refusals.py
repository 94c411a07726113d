"""What a workspace says when it refuses, as one sentence that names the setting to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from graph.errors import AgentError

Kind = Literal["missing", "forbidden", "signed out", "busy", "refused", "unknown"]
"""`unknown`: no clear answer came, so that what was asked for may have been done or not."""

LONGEST = 400


@dataclass(frozen=True)
class Refusal:
    kind: Kind
    said: str

    def sentence(self, what: str, setting: str) -> str:
        """`what` is the thing that was asked for, `setting` what names it."""
        return f"{what} {ADVICE[self.kind].format(setting=setting)} The workspace says: {self.said}"


ADVICE: dict[Kind, str] = {
    "missing": "is not there: check {setting}.",
    "forbidden": "may not be used by who is signed in: grant it, or change {setting}.",
    "signed out": "can't be reached, since the credentials were refused: check DATABRICKS_TOKEN (or the client id and "
    "secret, or databricks.profile).",
    "busy": "is over its limit or quota: wait, lower limits.max_parallel, or raise the quota of {setting}.",
    "refused": "was refused: check {setting}.",
    "unknown": "gave no clear answer; try again. It is named by {setting}.",
}


def read_refusal(error: BaseException) -> Refusal:
    """What kind of no it is, by the error's class alone."""
    from databricks.sdk import errors

    kinds: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], Kind], ...] = (
        ((errors.NotFound, errors.ResourceDoesNotExist), "missing"),
        (errors.PermissionDenied, "forbidden"),
        (errors.Unauthenticated, "signed out"),
        ((errors.TooManyRequests, errors.ResourceExhausted, errors.RequestLimitExceeded), "busy"),
        ((errors.BadRequest, errors.ResourceConflict, errors.AlreadyExists, errors.NotImplemented), "refused"),
    )
    found: Kind = next((kind for classes, kind in kinds if isinstance(error, classes)), "unknown")
    said = " ".join(str(error).split()) or type(error).__name__
    return Refusal(found, said if len(said) <= LONGEST else f"{said[:LONGEST]}…")


def refusals() -> tuple[type[BaseException], ...]:
    """All that the SDK raises when a call does not come to a good end: a no, a lost connection, an answer that can't be
    read or lacks what it needs (KeyError), credentials that can't be had.
    """
    from databricks.sdk.errors.base import DatabricksError
    from requests import RequestException

    return (DatabricksError, RequestException, TimeoutError, ConnectionError, ValueError, KeyError)


@contextmanager
def named(kind: type[AgentError], what: str, setting: str) -> Iterator[None]:
    """Raise a refusal as an error of ours that says what was asked for and names the setting."""
    try:
        yield
    except refusals() as error:
        raise kind(read_refusal(error).sentence(what, setting)) from error
