"""matplotlib's backend in a run: Agg whose `show` saves. Loaded by matplotlib itself, by name, when code plots."""

from __future__ import annotations

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from agent.execution.inside.figures import ALBUM


class FigureManager(FigureManagerBase):
    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        ALBUM.save_open()


class FigureCanvas(FigureCanvasAgg):
    manager_class = FigureManager
