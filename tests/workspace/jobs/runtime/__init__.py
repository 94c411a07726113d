"""What Databricks puts beside a job's own packages.

It is copied into each environment as `dbruntime`, where databricks-sdk looks for it: of the stand-in's other modules a
job sees nothing.
"""

from typing import ClassVar


class UserNamespaceInitializer:
    """Where `from databricks.sdk.runtime import …` finds the notebook's `dbutils`, `spark` and `display`."""

    names: ClassVar[dict[str, object]] = {}

    @classmethod
    def getOrCreate(cls) -> "UserNamespaceInitializer":  # noqa: N802 - the SDK's spelling
        """The one there is; an ImportError sends the SDK to its own fallback, as in a process that is no notebook's."""
        if not cls.names:
            raise ImportError("this process has no notebook")
        return cls()

    def get_namespace_globals(self) -> dict[str, object]:
        """The names."""
        return self.names
