"""Accuracy by size for each task, and what the analyst was shown, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.longcontext.measure import AGENT, ONE_CALL, Measured
from benchmarks.longcontext.table import size

COLOURS = {AGENT: "#0072B2", ONE_CALL: "#D55E00"}
DASHES = ("-", "--", ":", "-.")
COLUMNS = 4


def draw(measured: Sequence[Measured], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks = list(dict.fromkeys(one.task for one in measured))
    rows = -(-(len(tasks) + 1) // COLUMNS)
    figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(3.1 * COLUMNS, 2.5 * rows), squeeze=False)
    places = list(axes.flat)
    for task, axis in zip(tasks, places, strict=False):
        lines(axis, [one for one in measured if one.task == task], lambda one: one.accuracy)
        axis.set(title=task, ylim=(-0.05, 1.05))
        axis.yaxis.set_major_formatter(lambda value, at: f"{value:.0%}")
    last = places[len(tasks)]
    lines(last, [one for one in measured if one.calls], lambda one: one.shown)
    last.set(title="tokens shown in all", yscale="log")
    last.yaxis.set_major_formatter(lambda value, at: size(round(value)))
    for axis in places[len(tasks) + 1 :]:
        axis.set_axis_off()
    handles = {line.get_label(): line for axis in places for line in axis.lines}
    figure.supxlabel("tokens of text", fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="upper center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.93))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def lines(axis: Any, measured: Sequence[Measured], value: Any) -> None:
    """A line for each way and rate of errors; several tasks of one size are drawn by their mean."""
    rates = sorted({one.wrong for one in measured})
    for way, colour in COLOURS.items():
        for rate, dash in zip(rates, DASHES, strict=False):
            chosen = [one for one in measured if (one.way, one.wrong) == (way, rate)]
            by_size: dict[int, list[float]] = {}
            for one in chosen:
                by_size.setdefault(one.size, []).append(value(one))
            points = sorted((tokens, sum(values) / len(values)) for tokens, values in by_size.items())
            if points:
                axis.plot(*zip(*points, strict=True), dash, color=colour, marker="o", markersize=3,
                          linewidth=1.5, label=f"{way}, {rate:.0%} misread")  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda tokens, at: size(round(tokens)))
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", linewidth=0.4, alpha=0.5)
