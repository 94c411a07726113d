"""What a run may use, applied in its process before any generated code. The one place where a sandbox goes."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Allowance:
    """`memory` is bytes of data segments and private mappings, `file_size` bytes of any one file that code writes."""

    memory: int
    file_size: int


def confine(allowance: Allowance, parent: int) -> None:
    """Bind this process to its allowance and to `parent`'s life. Raises OSError when it can't be had."""
    os.setsid()
    _limit(resource.RLIMIT_DATA, allowance.memory)
    _limit(resource.RLIMIT_FSIZE, allowance.file_size)
    _limit(resource.RLIMIT_CORE, 0)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Make this process the parent of its descendants whose own parent ends, so that none escapes it."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _limit(kind: int, wanted: int) -> None:
    _, most = resource.getrlimit(kind)
    bound = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(kind, (bound, bound))


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")
