"""Figures that a run draws, saved as PNG files when shown or left open. `backend.py` is the run's backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MOST_FIGURES = 40


class Album:
    def __init__(self) -> None:
        self._folder: Path | None = None
        self._saved = 0

    def open(self, folder: Path) -> None:
        self._folder = folder

    def save_open(self) -> None:
        """Save every open figure of pyplot's and close it."""
        from matplotlib import pyplot

        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            self._save(figure)
            pyplot.close(figure)

    def _save(self, figure: Any) -> None:
        if self._folder is None or self._saved >= MOST_FIGURES:
            return
        self._folder.mkdir(exist_ok=True)
        self._saved += 1
        figure.savefig(self._folder / f"figure-{self._saved:02d}.png", dpi=100)


ALBUM = Album()
"""The one of this process: matplotlib makes backends by module name, so there is no other way to hand it over."""
