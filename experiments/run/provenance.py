"""What a stage ran with: code, packages, machine. Written to env.json; the sources themselves are kept as a zip."""

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
from importlib import metadata
from pathlib import Path
from typing import Any

from yolact.runtime.files import digest_of_contents, written_aside
from yolact.runtime.hardware import host_hardware, planned_device_name

ROOT = Path(__file__).resolve().parents[2]
SNAPSHOT_COMMIT = "commit.json"
PACKAGES = ("torch", "torchvision", "numpy", "pycocotools", "pillow", "pydantic")


@functools.cache
def sources() -> dict[str, bytes]:
    """{path: content} of the code that decides what a stage makes: the library and the stage functions."""
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sorted(_source_paths())}


def fingerprint() -> frozenset[tuple[str, int, int]]:
    """(path, time of modification, size) of each file of `sources()` as they lie there now."""
    states = ((path, path.stat()) for path in _source_paths())
    return frozenset((str(path), state.st_mtime_ns, state.st_size) for path, state in states)


def _source_paths() -> list[Path]:
    return [*(ROOT / "yolact").rglob("*.py"), *(ROOT / "experiments" / "stages").rglob("*.py")]


@functools.cache
def source_digest() -> str:
    """First 16 hex digits of the SHA-256 over `sources()`."""
    return digest_of_contents(sources())


def keep_sources(folder: Path) -> Path:
    """Put the sources into `folder`/<digest>.zip unless they are there; returns that path."""
    path = folder / f"{source_digest()}.zip"
    if path.exists():
        return path
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sources().items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    folder.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(packed.getvalue())
    return path


def environment(device: str, threads: int, precision: str | None) -> dict[str, Any]:
    """env.json, as `docs/architecture.md` lists it."""
    return {
        "code": {**commit(), "source": source_digest()},
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

    In a snapshot of a checkout (`experiments/launch/slurm/snapshot.py`), what was true of that checkout.
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
