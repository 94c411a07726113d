"""From a turn's progress to lines on a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markdown import Markdown
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text

from agent.terminal.progress import Progress, Remark, Settled, Step, cut, visible
from graph.endings import ENDS
from graph.types import DELEGATE, ConversationResult, Stage, Usage

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_A_SECOND = 10
BAR_WIDTH = 16
STREAMED_CHARS = 8_000
"""How much of a long reply is laid out anew for each frame while it is written."""


@dataclass(frozen=True)
class Tail:
    """The last `height` lines of something."""

    content: RenderableType
    height: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self.content, options, pad=False)
        for line in lines[-self.height :]:
            yield from line
            yield Segment.line()


def now_going_on(progress: Progress, now: float, height: int) -> RenderableType:
    """What changes while one looks: running steps, and the end of the reply that is being written."""
    steps = progress.running()
    lines: list[RenderableType] = [running_line(step, now) for step in steps[: max(1, height - 4)]]
    if len(steps) > len(lines):
        lines.append(Text(f"    and {len(steps) - len(lines)} more", style="dim"))
    if progress.text.strip():
        text = visible(progress.text[-STREAMED_CHARS:])
        lines.append(Tail(Markdown(text), max(3, height - len(lines) - 2)))
    elif not steps and progress.result is None:
        lines.append(Text(f"  {spinner(now)} thinking {format_seconds(now - progress.started)}", style="dim"))
    return Group(*lines)


def spinner(now: float) -> str:
    return SPINNER[int(now * FRAMES_A_SECOND) % len(SPINNER)]


def running_line(step: Step, now: float) -> Text:
    line = Text(f"  {spinner(now)} ", style="cyan", no_wrap=True, overflow="ellipsis")
    line.append_text(stages(step) if step.name == DELEGATE else Text(step.name, style="bold"))
    line.append(f"  {format_seconds(step.seconds(now))}", style="cyan")
    if step.total:
        line.append(f"  {bar(step.read, step.total)} {step.read}/{step.total}", style="magenta")
    return line.append(f"  {step.title}", style="default")


def stages(step: Step) -> Text:
    """All three, the one reached bold and those to come dim."""
    line, names = Text(), get_args(Stage)
    reached = names.index(step.stage) if step.stage else -1
    for place, name in enumerate(names):
        style = "green" if place < reached else "bold cyan" if place == reached else "dim"
        line.append(" › " if place else "", style="dim").append(name, style=style)
    return line


def bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * min(done, total) // total
    return "━" * filled + "╌" * (BAR_WIDTH - filled)


def settled_line(one: Settled, now: float) -> RenderableType:
    if isinstance(one, Remark):
        return Padding(Text(visible(one.text), style="dim"), (0, 2))
    return ended_line(one, now)


def ended_line(step: Step, now: float) -> Text:
    """How a step went, in one line; a second one says what went wrong."""
    name = step.artifact_id if step.artifact_id and not step.rejected else step.name
    mark = Text("  ✗ ", style="red") if step.trouble else Text("  ✓ ", style="green")
    line = Text(no_wrap=True, overflow="ellipsis").append_text(mark)
    line.append(name, style="bold").append(f"  {format_seconds(step.seconds(now))}", style="dim")
    if step.total and step.unit != "steps":
        line.append(f"  {coverage(step)}", style="yellow" if step.missed else "dim")
    line.append(f"  {step.title}")
    if step.trouble:
        kind = "rejected: " if step.rejected else ""
        line.append(f"\n      {kind}{cut(step.trouble, 300)}", style="red")
    return line


def coverage(step: Step) -> str:
    """How much of what was to be read was read."""
    unit = step.unit if step.total != 1 else step.unit[:-1]
    if step.missed or step.read < step.total:
        return f"{step.read - step.missed:,} of {step.total:,} {unit} were read"
    return f"read in {step.total:,} {unit}" if step.unit == "chunks" else f"{step.total:,} {unit} read"


def format_seconds(seconds: float) -> str:
    minutes, rest = divmod(max(0.0, seconds), 60)
    return f"{int(minutes)}m{rest:02.0f}s" if minutes else f"{rest:.1f}s"


def answer(result: ConversationResult) -> Markdown:
    return Markdown(visible(result.response_text))


def ending(result: ConversationResult) -> str:
    """What a person has to know about how the turn ended beyond its answer; empty when all is well."""
    if result.status == "fatal_error":
        return result.fatal_error_msg or "The turn failed."
    missing = result.missing or ENDS[result.end].missing
    return f"{missing[0].upper()}{missing[1:]}." if missing else ""


def summary(result: ConversationResult, usage: Usage, seconds: float) -> str:
    """One line: time, calls, tokens, money, delegations, thread."""
    parts = [
        format_seconds(seconds),
        format_usage(usage),
        f"{result.delegation_count} delegation{'s' * (result.delegation_count != 1)}",
        *([result.coverage] if result.coverage else []),
        f"thread {result.thread_id}",
    ]
    return " · ".join(parts)


def format_usage(usage: Usage) -> str:
    calls = f"{usage.calls} model call{'s' * (usage.calls != 1)}"
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    return " · ".join([calls, tokens, *([f"${usage.cost_usd:,.4f}"] if usage.cost_usd else [])])
