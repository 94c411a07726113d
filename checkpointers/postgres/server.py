"""The way to the server: a pool of connections without a lock around it, and what to do when one is dead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

from checkpointers.errors import StoreError, StoreFull, StoreReadOnly, StoreUnavailable

if TYPE_CHECKING:
    from psycopg import Connection

T = TypeVar("T")
ATTEMPTS = 4
KEEPALIVE: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 5,
}


class Server:
    def __init__(
        self,
        conninfo: str,
        name: str,
        schema: str | None,
        kind: type[Connection[Any]] | None,
        size: int,
        timeout: float,
    ) -> None:
        from psycopg import Connection

        self.conninfo, self.name, self.schema = conninfo, name, schema
        self.kind: type[Connection[Any]] = kind or Connection
        self._pool = self._opened(size, timeout)

    def _opened(self, size: int, timeout: float) -> Any:
        from psycopg import OperationalError
        from psycopg_pool import ConnectionPool, PoolTimeout

        pool = ConnectionPool(
            self.conninfo,
            connection_class=self.kind,
            kwargs={"autocommit": True, "options": self.options(), **KEEPALIVE},
            min_size=1,
            max_size=size,
            timeout=timeout,
            open=False,
        )
        try:
            pool.open(wait=True, timeout=timeout)
        except (PoolTimeout, OperationalError) as error:
            pool.close()
            raise StoreUnavailable(self.name, str(error)) from error
        return pool

    def options(self) -> str:
        """What a connection sets when it begins: no round trip of its own."""
        if self.schema is None:
            return ""
        quoted = '"' + self.schema.replace('"', '""') + '"'
        return "-c search_path=" + quoted.replace("\\", "\\\\").replace(" ", "\\ ")

    def connected(self) -> Connection[Any]:
        """A connection beside the pool."""
        return self.kind.connect(self.conninfo, autocommit=True, options=self.options(), **KEEPALIVE)

    def close(self) -> None:
        self._pool.close()

    def run(self, work: Callable[[Connection[Any]], T]) -> T:
        """Do it, and do it again on another connection when this one turns out dead."""
        from psycopg import Error
        from psycopg_pool import PoolTimeout

        for attempt in range(ATTEMPTS):
            try:
                with self._pool.connection() as connection:
                    return work(connection)
            except PoolTimeout as error:
                raise StoreUnavailable(self.name, str(error)) from error
            except Error as error:
                if not is_lost(error):
                    raise self._told(error) from error
                if attempt == ATTEMPTS - 1:
                    raise StoreUnavailable(self.name, str(error)) from error
            self._pool.check()
        raise AssertionError("unreachable")

    def rows(self, sql: LiteralString, parameters: Mapping[str, Any] | Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self.run(lambda c: c.execute(sql, parameters, binary=True).fetchall())

    def _told(self, error: Exception) -> Exception:
        from psycopg import DataError, errors

        if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.ConfigurationLimitExceeded):
            return StoreFull(self.name, str(error))
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            return StoreReadOnly(self.name, str(error))
        if isinstance(error, DataError):
            return StoreError(f"{self.name}: PostgreSQL doesn't take this id or name ({error}); use plain text")
        return StoreError(f"{self.name}: {error}")


def is_lost(error: Exception) -> bool:
    """Whether the connection died, or the server asks to try again: what was sent may be sent once more."""
    from psycopg import InterfaceError, OperationalError

    state = getattr(error, "sqlstate", None)
    if state is None:
        return isinstance(error, OperationalError | InterfaceError)
    return state.startswith("08") or state in ("57P01", "57P02", "57P03", "57P05", "25P03", "40001", "40P01")


def described(conninfo: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = conninfo_to_dict(conninfo)
    return f"postgresql://{parts.get('host') or 'localhost'}:{parts.get('port') or 5432}/{parts.get('dbname') or ''}"
