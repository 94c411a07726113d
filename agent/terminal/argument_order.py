"""Where words stand on the command line: options anywhere, and a question where a command could be."""

from __future__ import annotations

import sys
from difflib import get_close_matches
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import Exit

ASK = "ask"


class AnyOrder(TyperGroup):
    """Takes its own options wherever they stand, and asks what is no command as a question."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        flags = {name: bool(getattr(one, "is_flag", False)) for one in self.params for name in getattr(one, "opts", ())}
        flags.pop("--help", None)
        front, rest = separate_options(args, flags)
        if rest and rest[0] not in self.commands and rest[0] != "--help":
            rest = correct_slip(rest, list(self.commands)) or [ASK, *rest]
        return super().parse_args(ctx, [*front, *rest])


def separate_options(args: list[str], flags: dict[str, bool]) -> tuple[list[str], list[str]]:
    """The group's own options with their values, and all the rest in order. After `--` everything is rest."""
    front: list[str] = []
    rest: list[str] = []
    words = iter(args)
    for word in words:
        name, equals, _ = word.partition("=")
        if word == "--":
            return front, [*rest, word, *words]
        if name not in flags:
            rest.append(word)
        else:
            front.append(word)
            front += [] if flags[name] or equals else [value for value in [next(words, None)] if value is not None]
    return front, rest


def correct_slip(words: list[str], commands: list[str]) -> list[str] | None:
    """What was meant when the first word is nearly a command; None for a question. Without a terminal it is refused."""
    near = get_close_matches(words[0], [one for one in commands if one != ASK], n=1, cutoff=0.75)
    if not near or " " in words[0]:
        return None
    from typer import echo

    if not sys.stdin.isatty() or not sys.stderr.isatty():
        echo(f"There is no command {words[0]!r}; did you mean {near[0]}? To ask it: main.py ask …", err=True)
        raise Exit(2)
    echo(f"There is no command {words[0]!r}. {near[0]} [y], or is it a question [q]? ", nl=False, err=True)
    match input().strip().lower():
        case "y" | "yes" | "":
            return [near[0], *words[1:]]
        case "q":
            return None
    raise Exit(2)
