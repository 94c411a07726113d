"""The task's Spark session: made at the first use, and the one that every builder in this process gives."""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

_address = ""


def connect_to(address: str) -> None:
    """Where the session is. Children don't learn it: `spark` reaches no child process."""
    global _address
    _address = address
    sys.meta_path.insert(0, _Hook())


@cache
def session() -> Any:
    """The session."""
    from databricks.connect import DatabricksSession

    return DatabricksSession.builder.remote(_address).getOrCreate()


class Spark:
    """`spark` for those who import it by name: connects when it is used."""

    def __getattr__(self, name: str) -> Any:
        return getattr(session(), name)


class _Hook(importlib.abc.MetaPathFinder):
    """Lets `SparkSession.builder.getOrCreate()` and DatabricksSession's give the task's session, as a runtime does."""

    patches: dict[str, Callable[[ModuleType], None]]

    def __init__(self) -> None:
        self.patches = {"pyspark.sql.session": _patch_pyspark, "databricks.connect.session": _patch_connect}

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        """The module's own spec, with a loader that patches once it is loaded."""
        patch = self.patches.pop(name, None)
        if patch is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_patch(module: ModuleType) -> None:
            load(module)
            patch(module)

        spec.loader.exec_module = load_and_patch  # type: ignore[method-assign]
        return spec


def _patch_pyspark(module: Any) -> None:
    plain = module.SparkSession.Builder.getOrCreate

    def get_or_create(builder: Any) -> Any:
        return plain(builder) if "spark.remote" in builder._options else session()

    module.SparkSession.Builder.getOrCreate = get_or_create


def _patch_connect(module: Any) -> None:
    plain = module.DatabricksSession.Builder.getOrCreate

    def get_or_create(builder: Any) -> Any:
        named = builder._conn_string or builder._host or builder._token or builder._cluster_id
        return plain(builder) if named or builder._config is not None else session()

    module.DatabricksSession.Builder.getOrCreate = get_or_create
