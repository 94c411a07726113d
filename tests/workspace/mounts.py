"""`/Volumes` and `/Workspace` where processes expect them: a mount namespace in which our directories stand there.

Databricks shows volumes and workspace files at these paths. Nothing of this machine is changed: the process sees a root
of its own that has everything of the real one, and those. It works for root, and for others where user namespaces are
allowed.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

_COMPILING = threading.Lock()
_ENTER = """
set -e
volumes=$1 objects=$2 root=$3 only=$4 here=$PWD; shift 4
mount -t tmpfs tmpfs "$root"
for entry in /*; do
  name=${entry#/}
  if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
  elif [ "$name" = Volumes ] || [ "$name" = Workspace ]; then :
  elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
  fi
done
mkdir "$root/Volumes" "$root/Workspace"
if [ "$only" = all ]; then mount --bind "$volumes" "$root/Volumes"
else
  for one in $only; do
    way=${one%%:*} volume=${one#*:}
    mkdir -p "$root/Volumes/$volume"
    mount --bind "$volumes/$volume" "$root/Volumes/$volume"
    [ "$way" = rw ] || mount -o remount,bind,ro "$root/Volumes/$volume"
  done
fi
mount --bind "$objects" "$root/Workspace"
exec chroot "$root" /bin/sh -c 'cd "$0" && exec "$@"' "$here" "$@"
"""


def _unshare() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@cache
def available() -> bool:
    """Whether this machine lets us make such a namespace."""
    if shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(_entered(["true"], Path(directory)), capture_output=True, check=False).returncode == 0


def as_on_databricks(command: list[str], directory: Path, only: list[str] | None = None) -> list[str]:
    """The command, run with `directory`'s `volumes` and `objects` at `/Volumes` and `/Workspace`.

    `only` names the volumes that are to be seen, as `ro:catalog/schema/name` or `rw:…` (None: all of them).
    Where that can't be had the command runs as it is, and those paths do not exist.
    """
    return _entered(command, directory, only) if available() else command


def without_locks(directory: Path) -> dict[str, str]:
    """The environment in which files under `/Volumes` have no locks, hard links, symbolic links or appending.

    A small library that stands before libc's calls is compiled once; where there is no compiler they stay as they are.
    """
    library = directory / "volumes.so"
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    with _COMPILING:
        if not library.exists():
            source = Path(__file__).parent / "jobs" / "volumes.c"
            draft = library.with_suffix(".draft")
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", draft, source, "-ldl"], check=True)
            draft.rename(library)
    return {"LD_PRELOAD": str(library)}


def _entered(command: list[str], directory: Path, only: list[str] | None = None) -> list[str]:
    volumes, objects, root = (directory / name for name in ("volumes", "objects", "root"))
    for path in (volumes, objects, root):
        path.mkdir(exist_ok=True)
    places = [str(volumes), str(objects), str(root), "all" if only is None else " ".join(only)]
    return [*_unshare(), "sh", "-c", _ENTER, "as-on-databricks", *places, *command]
