"""The tasks by name."""

from __future__ import annotations

from benchmarks.longcontext.corpus import Task
from benchmarks.longcontext.tasks.comparing import COMPARING
from benchmarks.longcontext.tasks.counting import COUNTING
from benchmarks.longcontext.tasks.joins import JOINS
from benchmarks.longcontext.tasks.logs import LOGS
from benchmarks.longcontext.tasks.needles import NEEDLE, NEEDLES
from benchmarks.longcontext.tasks.pairs import PAIRS

TASKS: dict[str, Task] = {task.name: task for task in (NEEDLE, NEEDLES, COUNTING, COMPARING, PAIRS, JOINS, LOGS)}
