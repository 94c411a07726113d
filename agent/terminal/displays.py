"""Who shows a turn: live on a terminal, as plain lines beside the answer, or as JSON for scripts."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from agent.terminal.progress import Progress
from agent.terminal.rendering import answer, ending, now_going_on, settled_line, summary
from graph.events import Event, TurnEnded, TurnStarted
from graph.types import ConversationResult

if TYPE_CHECKING:
    from agent.artifacts.protocol import Artifacts

Locate = Callable[[str], str]
"""Where an artifact's folder is."""

Figures = Callable[[str], int]
"""How many figures an artifact's code drew."""


def no_figures(artifact_id: str) -> int:
    return 0


def count_figures(artifacts: Artifacts, artifact_id: str) -> int:
    return sum(name.startswith("figures/") for name in artifacts.read(artifact_id).files)


def leftovers(result: ConversationResult, locate: Locate, figures: Figures) -> Iterator[str]:
    """A line for each value that was answered with, each artifact, and for each figure the command that opens it."""
    for item in result.items:
        yield f"{item.name}  {Path(locate(item.artifact_id), item.path)}"
    for artifact_id in result.artifact_ids:
        yield f"{artifact_id}  {locate(artifact_id)}"
        for number in range(1, figures(artifact_id) + 1):
            yield f"  figure {number}: main.py artifacts open {artifact_id} {number}"


REFRESHES_A_SECOND = 10
CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Display(Protocol):
    """Shows one turn; used in a `with` block."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def show(self, event: Event) -> None: ...

    def note(self, text: str) -> None:
        """Something to know that is no event of the turn."""


class Still:
    """A display that has nothing to close."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


class LiveDisplay:
    """Running steps move at the bottom; what is settled is written above them and stays."""

    def __init__(
        self,
        console: Console,
        locate: Locate,
        clock: Callable[[], float] = time.monotonic,
        figures: Figures = no_figures,
    ) -> None:
        self._console, self._locate, self._clock, self._figures = console, locate, clock, figures
        self._progress = Progress(started=clock())
        self._live = Live(
            console=console, get_renderable=self._frame, refresh_per_second=REFRESHES_A_SECOND, transient=True
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def show(self, event: Event) -> None:
        now = self._clock()
        for one in self._progress.take(event, now):
            self._console.print(settled_line(one, now))
        if isinstance(event, TurnStarted) and event.resumed:
            self.note("Going on where the thread was interrupted.")
        if isinstance(event, TurnEnded):
            self._live.stop()
            self._close(event.result, now)

    def note(self, text: str) -> None:
        self._console.print(Text(text, style="yellow"))

    def _frame(self) -> Any:
        return now_going_on(self._progress, self._clock(), self._console.height)

    def _close(self, result: ConversationResult, now: float) -> None:
        console = self._console
        if result.response_text.strip():
            console.print()
            console.print(answer(result))
        if text := ending(result):
            console.print(Text(text, style="red" if result.status == "fatal_error" else "yellow"))
        console.print()
        for line in leftovers(result, self._locate, self._figures):
            console.print(Text(line, style="default" if line.startswith(" ") else "dim"), soft_wrap=True)
        usage = result.usage if result.usage.calls else self._progress.usage
        console.print(Text(summary(result, usage, now - self._progress.started), style="dim"))


class LineDisplay(Still):
    """The answer alone on `out`; on `beside` a line for each settled step and for the end, unless it is None."""

    def __init__(
        self,
        out: IO[str],
        beside: IO[str] | None,
        locate: Locate,
        clock: Callable[[], float] = time.monotonic,
        figures: Figures = no_figures,
    ) -> None:
        self._out, self._locate, self._clock, self._figures = out, locate, clock, figures
        self._console = Console(file=beside, soft_wrap=True, highlight=False) if beside else None
        self._errors = beside
        self._progress = Progress(started=clock())

    def show(self, event: Event) -> None:
        now = self._clock()
        for one in self._progress.take(event, now):
            self._beside(settled_line(one, now))
        if isinstance(event, TurnEnded):
            self._close(event.result, now)

    def note(self, text: str) -> None:
        self._beside(Text(text))

    def _beside(self, line: Any) -> None:
        if self._console is not None:
            self._console.print(line)

    def _close(self, result: ConversationResult, now: float) -> None:
        if result.response_text.strip():
            self._out.write(result.response_text.rstrip() + "\n")
            self._out.flush()
        if text := ending(result):
            self._beside(Text(" ".join(text.split())))
        if result.status == "fatal_error":
            return
        for line in leftovers(result, self._locate, self._figures):
            self._beside(Text(line))
        usage = result.usage if result.usage.calls else self._progress.usage
        self._beside(Text(summary(result, usage, now - self._progress.started)))


class JsonDisplay(Still):
    """One JSON object on `out` when the turn has ended; with `events` one on a line for each event, as it happens.

    The object has the fields of graph.types.ConversationResult, and `artifacts`: id, folder and number of figures.
    """

    def __init__(self, out: IO[str], locate: Locate, events: bool = False, figures: Figures = no_figures) -> None:
        self._out, self._locate, self._events, self._figures = out, locate, events, figures

    def show(self, event: Event) -> None:
        if isinstance(event, TurnEnded):
            head = {"event": name_of(event)} if self._events else {}
            self._write({**head, **self._final(event.result)})
        elif self._events:
            self._write({"event": name_of(event), **asdict(event)})

    def note(self, text: str) -> None: ...

    def _final(self, result: ConversationResult) -> dict[str, Any]:
        fields = asdict(result)
        told = [
            {"artifact_id": one, "folder": self._locate(one), "figures": self._figures(one)}
            for one in fields.pop("artifact_ids")
        ]
        return {**fields, "artifacts": told}

    def _write(self, value: Any) -> None:
        self._out.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        self._out.flush()


def name_of(event: Event) -> str:
    """`StageReached` is `stage_reached`."""
    return CAPITAL.sub("_", type(event).__name__).lower()
