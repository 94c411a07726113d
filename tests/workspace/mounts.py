"""`/Volumes` and `/Workspace` where processes expect them: a mount namespace in which our directories stand there.

Databricks shows volumes and workspace files at these paths. Nothing of this machine is changed: the process sees a root
of its own that has everything of the real one, and those. It works for root, and for others where user namespaces are
allowed.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_ENTER = """
set -e
volumes=$1 objects=$2 root=$3 here=$PWD; shift 3
mount -t tmpfs tmpfs "$root"
for entry in /*; do
  name=${entry#/}
  if [ -L "$entry" ]; then cp -P "$entry" "$root/$name"
  elif [ "$name" = Volumes ] || [ "$name" = Workspace ]; then :
  elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"
  fi
done
mkdir "$root/Volumes" "$root/Workspace"
mount --bind "$volumes" "$root/Volumes"
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


def as_on_databricks(command: list[str], directory: Path) -> list[str]:
    """The command, run with `directory`'s `volumes` and `objects` at `/Volumes` and `/Workspace`.

    Where that can't be had the command runs as it is, and those paths do not exist.
    """
    return _entered(command, directory) if available() else command


def _entered(command: list[str], directory: Path) -> list[str]:
    volumes, objects, root = (directory / name for name in ("volumes", "objects", "root"))
    for path in (volumes, objects, root):
        path.mkdir(exist_ok=True)
    places = [str(volumes), str(objects), str(root)]
    return [*_unshare(), "sh", "-c", _ENTER, "as-on-databricks", *places, *command]
