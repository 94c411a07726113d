"""The environment that a job declares, made in a moment and offline: an interpreter that sees the runtime's packages,
the wheels that are named, and what those require — nothing else of the machine, the checkout least of all.

A virtual environment by hand: wheels are unpacked into it, other packages are links to where they are installed here.
"""

import compileall
import hashlib
import importlib.metadata
import shutil
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Callable, Iterator
from email.parser import HeaderParser
from functools import cache
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

# What every Databricks runtime brings (and much more; the product must declare what it needs).
RUNTIME = ("databricks-connect", "databricks-sdk", "mlflow", "pandas", "pyarrow", "requests")
_SITE = Path(sysconfig.get_paths()["purelib"])


class InstallationFailed(Exception):
    """A library can't be installed; the message is pip's."""


class Environments:
    """All environments of a workspace, by what they declare. `find` gives the file of a workspace's path."""

    def __init__(self, directory: Path, find: Callable[[str], Path]) -> None:
        self._directory = directory
        self._find = find
        self._lock = threading.Lock()

    def python(self, dependencies: tuple[str, ...]) -> Path:
        """The interpreter of an environment. Raises InstallationFailed."""
        with self._lock:
            wheels, names = self._resolved(dependencies)
            contents = [hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels]
            key = hashlib.sha256(repr((contents, sorted(names))).encode()).hexdigest()[:16]
            home = self._directory / key
            if not home.exists():
                _make(home, wheels, names)
            return home / "bin" / "python"

    def _resolved(self, dependencies: tuple[str, ...]) -> tuple[list[Path], frozenset[str]]:
        """The wheels, and the installed packages that they and the runtime need."""
        wheels: list[Path] = []
        wanted: list[str] = list(RUNTIME)
        for line in self._lines(dependencies):
            if line.endswith(".whl"):
                wheel = self._file(line)
                wheels.append(wheel)
                wanted += _wheel_requirements(wheel)
            else:
                wanted.append(line)
        provided = frozenset(canonicalize_name(wheel.name.split("-")[0]) for wheel in wheels)
        return wheels, _closure(tuple(wanted), provided)

    def _lines(self, dependencies: tuple[str, ...]) -> Iterator[str]:
        for text in dependencies:
            line = text.split(" #")[0].strip()
            if not line or line.startswith("#"):
                continue
            option, _, rest = line.partition(" ")
            if option in ("-r", "--requirement"):
                yield from self._lines(tuple(self._file(rest.strip()).read_text().splitlines()))
            elif line.startswith("-"):
                raise InstallationFailed(f"the stand-in workspace does not cover the pip option {option}")
            else:
                yield line.removeprefix("dbfs:")

    def _file(self, path: str) -> Path:
        try:
            found = self._find(path.removeprefix("dbfs:"))
        except Exception as error:
            raise InstallationFailed(f"ERROR: Invalid requirement: '{path}': {error}") from error
        if not found.is_file():
            raise InstallationFailed(f"ERROR: Invalid requirement: '{path}': the file does not exist")
        return found


@cache
def _closure(wanted: tuple[str, ...], provided: frozenset[str]) -> frozenset[str]:
    """The installed packages that satisfy requirements, with what those require in turn."""
    names: set[str] = set()
    pending = [(text, ("",)) for text in wanted]
    while pending:
        text, extras = pending.pop()
        requirement = _requirement(text)
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name in provided:
            continue
        found = _installed(requirement)
        if name in names and not requirement.extras:
            continue
        names.add(name)
        pending += [(line, ("", *requirement.extras)) for line in found.requires or ()]
    return frozenset(names)


def _requirement(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise InstallationFailed(f"ERROR: Invalid requirement: '{text}': {error}") from error


def _installed(requirement: Requirement) -> importlib.metadata.Distribution:
    try:
        found = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        raise InstallationFailed(f"ERROR: No matching distribution found for {requirement}") from None
    if not requirement.specifier.contains(found.version, prereleases=True):
        message = f"ERROR: Could not find a version that satisfies the requirement {requirement}"
        raise InstallationFailed(f"{message} (from versions: {found.version})")
    return found


def _wheel_requirements(wheel: Path) -> list[str]:
    """What a wheel says that it requires."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            about = HeaderParser().parsestr(archive.read(name).decode())
    except (zipfile.BadZipFile, StopIteration) as error:
        raise InstallationFailed(f"ERROR: Invalid wheel: {wheel.name}") from error
    return [line for line in about.get_all("Requires-Dist") or [] if "extra ==" not in line]


def _make(home: Path, wheels: list[Path], names: frozenset[str]) -> None:
    draft = home.with_suffix(".draft")
    site = draft / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (draft / "bin").mkdir()
    base = Path(sys.executable).resolve()
    (draft / "bin" / "python").symlink_to(base)
    (draft / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    for entry in _entries(names):
        (site / entry).parent.mkdir(parents=True, exist_ok=True)
        (site / entry).symlink_to(_SITE / entry)
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
            for name in {PurePosixPath(entry).parts[0] for entry in archive.namelist()}:
                compileall.compile_dir(site / name, quiet=2)
    shutil.copytree(Path(__file__).parent / "runtime", site / "dbruntime", ignore=shutil.ignore_patterns("__pycache__"))
    draft.rename(home)


def _entries(names: frozenset[str]) -> Iterator[PurePosixPath]:
    """The paths to link: as high up as a directory belongs to chosen packages alone."""
    owners, files = _ownership()
    seen: set[PurePosixPath] = set()
    for name in names:
        for path in files.get(name, ()):
            chosen = next((part for part in _down(path) if owners.get(part, {name}) <= names), path)
            if chosen not in seen and (_SITE / chosen).exists():
                seen.add(chosen)
                yield chosen


def _down(path: PurePosixPath) -> Iterator[PurePosixPath]:
    """A path's directories from the top, then itself."""
    for depth in range(1, len(path.parts) + 1):
        yield PurePosixPath(*path.parts[:depth])


@cache
def _ownership() -> tuple[dict[PurePosixPath, set[str]], dict[str, list[PurePosixPath]]]:
    """Which packages have files below a directory, and each package's files (one of each directory is enough)."""
    owners: dict[PurePosixPath, set[str]] = {}
    files: dict[str, list[PurePosixPath]] = {}
    for record in _SITE.glob("*.dist-info/RECORD"):
        about = HeaderParser().parsestr((record.parent / "METADATA").read_text(errors="replace"))
        name = canonicalize_name(str(about["Name"]))
        listed = {line.split(",")[0].strip('"') for line in record.read_text().splitlines()}
        kept = [PurePosixPath(line) for line in listed if not line.startswith(("..", "/", "__pycache__")) and line]
        files[name] = kept
        for path in kept:
            for part in _down(path):
                owners.setdefault(part, set()).add(name)
    return owners, files
