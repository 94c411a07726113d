"""What was measured, as rows for a terminal or for a page."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from benchmarks.longcontext.measure import Measured

COLUMNS = ("task", "tokens", "reader wrong", "way", "accuracy", "calls", "tokens read", "shown", "seconds", "of ideal")


def row(one: Measured) -> tuple[str, ...]:
    accuracy = "exact" if one.exact else one.note or f"{one.accuracy:.1%}"
    ideal = "" if one.of_ideal is None else f"{one.of_ideal:.0%}"
    counted = (f"{one.calls:,}", f"{one.tokens:,}", f"{one.shown:,}", f"{one.seconds:.1f}") if one.calls else ("",) * 4
    wrong = f"{one.wrong:.0%}" if not one.misread else f"{one.wrong:.0%} ({one.misread:.1%})"
    return one.task, size(one.size), wrong, one.way, accuracy, *counted, ideal


def drawn(measured: Iterable[Measured]) -> Table:
    table = Table(*COLUMNS, title="Long contexts")
    for one in measured:
        table.add_row(*row(one))
    return table


def page(measured: Iterable[Measured], goals: Iterable[str], command: str) -> str:
    lines = [
        "# Long contexts",
        f"Written by `{command}`.",
        "“reader wrong” is the share of lines that the reader is to misread (and did). “one call” gets the whole text "
        "and the question at once; the deterministic reader reads a long text no worse than a short one, as long as it "
        "fits. “shown” is all that the analyst, or the one call, was shown; tokens are of four characters.",
        "\n".join(f"- {goal}" for goal in goals),
        "![Accuracy by size](longcontext.png)",
        "\n".join(
            [
                f"| {' | '.join(COLUMNS)} |",
                f"|{'---|' * len(COLUMNS)}",
                *(f"| {' | '.join(row(one))} |" for one in measured),
            ]
        ),
    ]
    return "\n\n".join(lines) + "\n"


def size(tokens: int) -> str:
    """As one writes it on the command line: 8k, 131k, 10M."""
    return f"{tokens / 1e6:.3g}M" if tokens >= 999_500 else f"{tokens / 1e3:.3g}k"
