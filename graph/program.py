"""A delegation's text, parsed once: every guard and the artifact read the same blob and the same tree."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from functools import cached_property

from graph.blob import Blob, BlobError, parse_blob


@dataclass(frozen=True)
class Program:
    """What the analyst sent, as it is. Nothing is parsed before it is asked for."""

    text: str

    @cached_property
    def blob(self) -> Blob | BlobError:
        """Instruction and code, or why there are none."""
        try:
            return parse_blob(self.text)
        except BlobError as error:
            return error

    @cached_property
    def tree(self) -> ast.Module | Exception:
        """The code's syntax tree, or why Python can't read it."""
        if isinstance(self.blob, BlobError):
            return self.blob
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ast.parse(self.blob.code)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return error
