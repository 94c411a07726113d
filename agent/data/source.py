"""Which data a thread is about, as it is saved with the thread and opened again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.errors import InvalidRequest


@dataclass(frozen=True)
class DataSource:
    """`paths` and `text` are absolute, so that a thread finds them from any working directory."""

    paths: tuple[str, ...] = ()
    text: str | None = None
    catalog: str | None = None
    schema: str | None = None
    sample: bool = True

    def to_json(self) -> dict[str, Any]:
        return {
            "paths": list(self.paths),
            "text": self.text,
            "catalog": self.catalog,
            "schema": self.schema,
            "sample": self.sample,
        }

    @property
    def described(self) -> str:
        """In a person's words: what a thread says that it is about."""
        parts = [*self.paths, *([f"the text {self.text}"] if self.text else [])]
        if self.catalog or self.schema:
            parts.append(".".join(filter(None, (self.catalog, self.schema))))
        return ", ".join(parts) or ("the sample" if self.sample else "no data")

    def check(self) -> None:
        """Raises InvalidRequest when a file or folder is gone, with what to give instead."""
        gone = [f"--data {path}" for path in self.paths if not Path(path).exists()]
        gone += [f"--text {self.text}"] if self.text and not Path(self.text).exists() else []
        if gone:
            raise InvalidRequest(
                f"this thread is about {self.described}, and {' and '.join(gone)} is no longer there: "
                "put it back, or give its new place with the same option"
            )


def describe_source(
    paths: Sequence[Path] = (),
    text: Path | None = None,
    catalog: str | None = None,
    schema: str | None = None,
    sample: bool = True,
) -> DataSource:
    return DataSource(
        tuple(str(path.expanduser().resolve()) for path in paths),
        None if text is None else str(text.expanduser().resolve()),
        catalog,
        schema,
        sample,
    )


def source_from_json(saved: Mapping[str, Any]) -> DataSource:
    """Raises InvalidRequest when `saved` is not what `to_json` gave."""
    paths, text = saved.get("paths", []), saved.get("text")
    named = [text, saved.get("catalog"), saved.get("schema")]
    sample = saved.get("sample", True)
    if (
        not isinstance(paths, list)
        or not all(isinstance(path, str) for path in paths)
        or not all(value is None or isinstance(value, str) for value in named)
        or not isinstance(sample, bool)
    ):
        raise InvalidRequest("what the thread says of its data can't be read: name the data with --data or --text")
    return DataSource(tuple(paths), text, saved.get("catalog"), saved.get("schema"), sample)
