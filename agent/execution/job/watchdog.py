"""The end of a run's time: its Spark work is interrupted, its code is told, and then it is left where it is."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from agent.execution.inside.harness import Stopped

GRACE_SECONDS = 3.0
NUDGE_SECONDS = 0.25


class Watchdog:
    """After `seconds` the code of the thread that made this is stopped; `leave` is called when it does not end then."""

    def __init__(self, seconds: float, spark: Any, leave: Callable[[], None]) -> None:
        self.barked = False
        self._seconds, self._spark, self._leave = seconds, spark, leave
        self._thread = threading.get_ident()
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._before: Any = None

    def __enter__(self) -> Watchdog:
        with suppress(ValueError):  # not in the main thread
            self._before = signal.signal(signal.SIGUSR1, stop)
        self._watching.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        if self._before is not None:
            signal.signal(signal.SIGUSR1, self._before)

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        self.barked = True
        threading.Thread(target=interrupt, args=(self._spark,), name="interrupt", daemon=True).start()
        self._tell()
        if not self._over.wait(GRACE_SECONDS):
            self._leave()

    def _tell(self) -> None:
        """A signal ends also what waits in the operating system; another thread than the main one takes no signals."""
        if self._thread == threading.main_thread().ident and self._before is not None:
            signal.pthread_kill(self._thread, signal.SIGUSR1)
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread), ctypes.py_object(Stopped))

    @property
    def where(self) -> str:
        """The line of the code where it is now."""
        frame = sys._current_frames().get(self._thread)
        while frame is not None and frame.f_code.co_filename != "code.py":
            frame = frame.f_back
        return "" if frame is None else f'  File "code.py", line {frame.f_lineno}, in {frame.f_code.co_name}\n'


def stop(number: int, frame: FrameType | None) -> None:
    raise Stopped("the run was stopped here")


def interrupt(spark: Any) -> None:
    """End all that runs on Spark for this run. It is the edge: whatever goes wrong with it, the run ends."""
    try:
        spark.interruptAll()
    except Exception as error:  # noqa: BLE001 - the edge
        sys.stderr.write(f"Spark's work could not be interrupted: {type(error).__name__}\n")
