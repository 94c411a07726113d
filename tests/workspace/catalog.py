"""Unity Catalog: catalogs, schemas and tables are the engine's; what the engine does not keep is kept here."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.workspace.errors import already_exists, bad_request, not_found
from tests.workspace.sql.problems import SqlProblem

if TYPE_CHECKING:
    from tests.workspace.workspace import Workspace


@dataclass
class Note:
    """What was said about something when it was made."""

    comment: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    created_at: int = field(default_factory=lambda: int(time.time() * 1000))
    more: dict[str, Any] = field(default_factory=dict)


class Catalog:
    """The names of everything, by full name (`catalog.schema.name`)."""

    def __init__(self, ws: "Workspace", names: tuple[str, ...]) -> None:
        self._ws = ws
        self._catalogs: dict[str, Note] = {name: Note() for name in names}
        self._schemas: dict[str, Note] = {}
        self.volumes: dict[str, Note] = {}
        self.functions: dict[str, Note] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All catalogs."""
        return tuple(self._catalogs)

    def catalog(self, name: str) -> Note:
        """What is known of a catalog; 404 otherwise."""
        if name not in self._catalogs:
            raise not_found(f"Catalog '{name}' does not exist.", "CATALOG_DOES_NOT_EXIST")
        return self._catalogs[name]

    def create_catalog(self, name: str, note: Note) -> None:
        """A new catalog. A running engine restarts for it."""
        if name in self._catalogs:
            raise already_exists(f"Catalog '{name}' already exists", "CATALOG_ALREADY_EXISTS")
        if not name.replace("_", "").replace("-", "").isalnum():
            raise bad_request(f"'{name}' is not a valid name for a catalog")
        self._catalogs[name] = note
        self._restart()

    def delete_catalog(self, name: str, *, force: bool) -> None:
        """A catalog goes; with `force` all that is in it."""
        self.catalog(name)
        schemas = [schema for schema in self.schemas(name) if schema not in ("default", "information_schema")]
        if schemas and not force:
            raise bad_request(f"Catalog '{name}' is not empty. The catalog has {len(schemas)} schema(s)")
        for schema in schemas:
            self.delete_schema(name, schema, force=True)
        del self._catalogs[name]
        self._ws.sessions.forget_catalog(name)
        self._restart()

    def schemas(self, catalog: str) -> list[str]:
        """The schemas of a catalog."""
        self.catalog(catalog)
        rows = self._ws.engine.rows(f"SHOW SCHEMAS IN `{catalog}`")
        return sorted([*(row["name"] for row in rows), "information_schema"])

    def schema(self, catalog: str, name: str) -> Note:
        """What is known of a schema; 404 otherwise."""
        if name not in self.schemas(catalog):
            raise not_found(f"Schema '{catalog}.{name}' does not exist.", "SCHEMA_DOES_NOT_EXIST")
        return self._schemas.get(f"{catalog}.{name}", Note())

    def create_schema(self, catalog: str, name: str, note: Note) -> None:
        """A new schema."""
        if name in self.schemas(catalog):
            raise already_exists(f"Schema '{catalog}.{name}' already exists", "SCHEMA_ALREADY_EXISTS")
        self._ws.engine.rows(f"CREATE SCHEMA `{catalog}`.`{name}`")
        self._schemas[f"{catalog}.{name}"] = note

    def delete_schema(self, catalog: str, name: str, *, force: bool) -> None:
        """A schema goes; with `force` all that is in it."""
        self.schema(catalog, name)
        prefix = f"{catalog}.{name}."
        inside = [full for full in self.volumes if full.startswith(prefix)]
        if inside and not force:
            raise bad_request(f"Schema '{catalog}.{name}' is not empty. The schema has {len(inside)} volume(s)")
        try:
            self._ws.engine.rows(f"DROP SCHEMA `{catalog}`.`{name}` {'CASCADE' if force else ''}")
        except SqlProblem as problem:
            raise bad_request(str(problem)) from problem
        for full in inside:
            self.delete_volume(full)
        for full in [full for full in self.functions if full.startswith(prefix)]:
            del self.functions[full]
        self._schemas.pop(f"{catalog}.{name}", None)

    def tables(self, catalog: str, schema: str) -> list[str]:
        """The tables and views of a schema; of information_schema none, since the engine does not keep them."""
        self.schema(catalog, schema)
        if schema == "information_schema":
            return []
        rows = self._ws.engine.rows(f"SHOW TABLES IN `{catalog}`.`{schema}`")
        return sorted(row["tableName"] for row in rows if not row["isTemporary"])

    def details(self, catalog: str, schema: str, table: str) -> dict[str, str]:
        """The engine's details of a table: Type, Provider, Location, View Text, Comment; 404 otherwise."""
        name = f"{catalog}.{schema}.{table}"
        if table not in self.tables(catalog, schema):
            raise not_found(f"Table '{name}' does not exist.", "TABLE_DOES_NOT_EXIST")
        rows = self._ws.engine.rows(f"DESCRIBE TABLE EXTENDED `{catalog}`.`{schema}`.`{table}`")
        start = next(index for index, row in enumerate(rows) if row["col_name"].startswith("# Detailed"))
        return {row["col_name"]: row["data_type"] for row in rows[start + 1 :]}

    def create_volume(self, catalog: str, schema: str, name: str, note: Note) -> None:
        """A new volume, managed or external (its files are here in both cases)."""
        self.schema(catalog, schema)
        full = f"{catalog}.{schema}.{name}"
        if full in self.volumes:
            raise already_exists(f"Volume '{full}' already exists", "VOLUME_ALREADY_EXISTS")
        self._ws.volumes.create(catalog, schema, name)
        self.volumes[full] = note

    def volume(self, full: str) -> Note:
        """What is known of a volume; 404 otherwise."""
        if full not in self.volumes:
            raise not_found(f"Volume '{full}' does not exist.", "VOLUME_DOES_NOT_EXIST")
        return self.volumes[full]

    def delete_volume(self, full: str) -> None:
        """A volume goes with its files."""
        self.volume(full)
        self._ws.volumes.remove(*full.split("."))
        del self.volumes[full]

    def _restart(self) -> None:
        """Give a running engine the catalogs of now, and what was there."""
        if self._ws.has_engine:
            self._ws.restart_sail()
            self._ws.sessions.restore()
