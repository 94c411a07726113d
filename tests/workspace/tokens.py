"""Who may ask: personal tokens, service principals, and access tokens that expire."""

import secrets
import threading
import time
from dataclasses import dataclass

from tests.workspace.errors import ApiError

USER = "analyst@example.com"
HOUR = 3600.0
# The scope of each API, by the beginning of its path.
SCOPES = {
    "/api/2.0/sql/statements": "sql.statement-execution",
    "/api/2.0/sql/warehouses": "sql.warehouses",
    "/sql/1.0/warehouses": "sql",
    "/api/2.0/genie": "dashboards.genie",
    "/api/2.0/serving-endpoints": "serving.serving-endpoints",
    "/serving-endpoints": "serving.serving-endpoints",
    "/api/2.0/fs": "files.files",
    "/api/2.1/unity-catalog": "unity-catalog",
    "/api/2.2/jobs": "jobs",
}


@dataclass(frozen=True)
class Token:
    """A bearer token. `expires_at` is a Unix time."""

    value: str
    principal: str
    expires_at: float
    scopes: frozenset[str] | None = None


class Tokens:
    """All tokens of the workspace. `lifetime` is that of the next OAuth token, in seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, Token] = {}
        self.clients: dict[str, str] = {}
        self.lifetime = HOUR

    def mint(
        self,
        principal: str,
        *,
        prefix: str = "dapi",
        lifetime: float | None = None,
        scopes: frozenset[str] | None = None,
    ) -> Token:
        """A new token; without a lifetime it does not expire, without scopes it is good for every API."""
        expires_at = float("inf") if lifetime is None else time.time() + lifetime
        token = Token(prefix + secrets.token_hex(16), principal, expires_at, scopes)
        with self._lock:
            self._tokens[token.value] = token
        return token

    def on_behalf_of(self, user: str, *scopes: str, lifetime: float = HOUR) -> Token:
        """What a served agent gets of its caller: the user's own rights, in the APIs that the scopes name
        (`sql.statement-execution`, `dashboards.genie`, `serving.serving-endpoints`, …)."""
        return self.mint(user, prefix="eyJ", lifetime=lifetime, scopes=frozenset(scopes))

    def add_client(self, client_id: str, secret: str) -> None:
        """A service principal that may ask for OAuth tokens."""
        self.clients[client_id] = secret

    def expire(self, value: str) -> None:
        """From now on this token is an expired one."""
        with self._lock:
            known = self._tokens[value]
            self._tokens[value] = Token(known.value, known.principal, time.time(), known.scopes)

    def principal(self, value: str, path: str = "") -> str:
        """Whose token it is; 403 for one never given out or not good for a path, 401 for one that has expired."""
        token = self._tokens.get(value)
        if token is None:
            raise ApiError(403, "PERMISSION_DENIED", "Invalid access token.")
        if token.expires_at <= time.time():
            raise ApiError(401, "UNAUTHENTICATED", "Token has expired.")
        needed = scope(path)
        if token.scopes is not None and needed and not _covered(needed, token.scopes):
            raise ApiError(403, "PERMISSION_DENIED", f"Provided OAuth token does not have required scopes: {needed}")
        return token.principal


def scope(path: str) -> str | None:
    """The OAuth scope that an API asks for; None for what every token may ask."""
    if path.startswith(("/api/2.0/preview/scim/v2/Me", "/telemetry", "/api/2.0/connector-service")):
        return None
    return next((scope for prefix, scope in SCOPES.items() if path.startswith(prefix)), "all-apis")


def _covered(needed: str, scopes: frozenset[str]) -> bool:
    """Whether a scope, or a wider one, is there: `sql` covers `sql.warehouses`."""
    return any(needed == held or needed.startswith(f"{held}.") or held == "all-apis" for held in scopes)
