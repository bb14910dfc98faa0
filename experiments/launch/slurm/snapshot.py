"""Snapshots of the code in the results folder, so that a queued job runs the code of its submission."""

from __future__ import annotations

import functools
import json
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path

from experiments.run import provenance
from experiments.stages.custom_code import custom_code
from experiments.store.folder import Store
from yolact.runtime.files import digest_of_contents


def take_snapshot(store: Store, references: Iterable[str] = ()) -> Path:
    """Copy the code to code/snapshot-<digest>/ unless it exists; return that folder.

    It contains the packages `yolact` and `experiments` with their data, and commit.json, which replaces git in `provenance`.

    Args:
        references: import paths of custom code, which is copied unless it is installed.
    """
    files = dict(_files())
    for code in map(custom_code, references):
        files |= {} if code.installed else code.files
    folder = store.code_folder / f"snapshot-{digest_of_contents(files)}"
    if folder.exists():
        return folder
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        for name, content in files.items():
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _put(aside, folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _put(aside: Path, folder: Path) -> None:
    try:
        os.rename(aside, folder)
    except OSError:
        if not folder.exists():  # another process may have made the same copy first
            raise


@functools.cache
def _files() -> dict[str, bytes]:
    root = provenance.ROOT
    code = [path for room in ("yolact", "experiments") for path in (root / room).rglob("*.py")]
    data = list((root / "experiments").rglob("*.yaml"))
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(code + data)}
    files[provenance.SNAPSHOT_COMMIT] = json.dumps(provenance.commit()).encode()
    return files
