"""A small wheel, for tests that declare one: a zip with the metadata that installers read."""

import zipfile
from pathlib import Path


def make_wheel(
    directory: Path,
    name: str,
    modules: dict[str, str],
    *,
    version: str = "1.0",
    requires: tuple[str, ...] = (),
    scripts: dict[str, str] | None = None,
) -> Path:
    """`modules` are texts by file name; `scripts` are console entry points, `{"my-job": "my_package:main"}`."""
    plain = name.replace("-", "_")
    wheel = directory / f"{plain}-{version}-py3-none-any.whl"
    info = f"{plain}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}", *(f"Requires-Dist: {r}" for r in requires)]
    entries = "\n".join(f"{key} = {value}" for key, value in (scripts or {}).items())
    files = {
        **modules,
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: stand-in\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{entries}\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"]))
    return wheel
