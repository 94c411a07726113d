"""Values that a run answers with: files beside its artifact, which the person gets with the closing words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from agent.execution.served.uploads import Uploads
from graph.errors import HostError

NAME = re.compile(r"[^\W.][\w .()-]{0,99}")
MEDIA = re.compile(r"[\w.+-]+/[\w.+-]+")
MOST_ANSWERS = 20


@dataclass(frozen=True)
class Answers:
    """`folder` is where they are kept; `kept` hears of all so far."""

    folder: Path
    uploads: Uploads
    given: dict[str, Mapping[str, Any]]
    kept: Callable[[Mapping[str, Mapping[str, Any]]], None]

    def answer_answer(self, request: Mapping[str, Any], frames: BinaryIO) -> Mapping[str, Any]:
        name, media = str(request["name"]), str(request["media_type"])
        if not NAME.fullmatch(name) or not MEDIA.fullmatch(media):
            raise HostError(f"{name!r} is no name for a file: use letters, digits, blanks and _ . ( ) -")
        if name not in self.given and len(self.given) >= MOST_ANSWERS:
            raise HostError(f"a run answers with at most {MOST_ANSWERS} values: put them into one")
        file, size = self.uploads.take(request["upload"])
        self.folder.mkdir(exist_ok=True)
        path = self.folder / name
        with file:
            path.unlink(missing_ok=True)
            with path.open("xb") as kept:
                shutil.copyfileobj(file, kept, 1 << 20)
        shape = " ".join(str(request["shape"]).split())[:80]
        self.given[name] = {"name": name, "media_type": media, "size": size, "shape": shape}
        self.kept(self.given)
        return {}
