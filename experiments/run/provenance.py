"""Provenance of a stage: code, packages, machine. It is written to env.json; the sources are stored as a zip."""

from __future__ import annotations

import functools
import io
import json
import os
import platform
import socket
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from experiments.stages.custom_code import expect_code, planned_code
from experiments.store.folder import Store
from yolact.runtime.files import digest_of_contents, written_aside
from yolact.runtime.hardware import host_hardware, planned_device_name

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT_COMMIT = "commit.json"
PACKAGES = ("torch", "torchvision", "numpy", "pycocotools", "pillow", "pydantic")


@functools.cache
def sources() -> dict[str, bytes]:
    """{path: content} of the code that affects the bytes of results.

    It consists of the library, the functions of stages and the code that opens their data, without the command line, plans and
    launchers.
    """
    rooms = (ROOT / "yolact", ROOT / "experiments" / "stages")
    paths = [*(path for room in rooms for path in room.rglob("*.py")), *(ROOT / "experiments" / "datasets").glob("*.py")]
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(paths)}


def sources_of(store: Store, record: Mapping[str, Any]) -> dict[str, bytes]:
    """`sources()` and the custom code of a recorded stage.

    Raises:
        CustomCodeError: that code differs from the planned code.
    """
    return {**sources(), **expect_code(planned_code(store, record))}


def source_digest() -> str:
    """Digest of `sources()`."""
    return digest_of_contents(sources())


def keep_sources(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write sources to `folder`/<digest>.zip unless it exists; return that path."""
    path = folder / f"{digest_of_contents(contents)}.zip"
    if path.exists():
        return path
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(packed.getvalue())
    return path


def environment(device: str, threads: int, precision: str | None, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """The content of env.json, described in `docs/architecture.md`, for a stage that runs with these sources."""
    return {
        "code": {**commit(), "source": digest_of_contents(contents)},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "hardware": host_hardware(),
        "device": device,
        "device_name": planned_device_name(device),
        "threads": threads,
        "precision": precision,
        "host": socket.gethostname(),
        "executable": Path(sys.executable).name,
    }


def commit() -> dict[str, Any]:
    """The commit of the checkout and whether files differ from it; None and None outside a checkout.

    In a snapshot (`experiments/launch/slurm/snapshot.py`), the values of the checkout it was made from.
    """
    if (ROOT / SNAPSHOT_COMMIT).is_file():
        return json.loads((ROOT / SNAPSHOT_COMMIT).read_text(encoding="utf-8"))
    if not (ROOT / ".git").exists():
        return {"commit": None, "dirty": None}
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def ask(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environment)
        return answer.stdout.strip()

    try:
        changed = ask("status", "--porcelain", "--untracked-files=no")
        return {"commit": ask("rev-parse", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return {"commit": None, "dirty": None}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
