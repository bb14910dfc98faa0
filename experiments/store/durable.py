"""Files and folders that survive a crash: `yolact.runtime.files` renames, this module also makes the renames last."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from yolact.runtime import files


def write_json(path: Path, data: Any) -> None:
    """Replace `path` atomically by indented JSON, creating its folder if needed. On an error the old file remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(path, data, indent=2)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Flush every file under `folder`, and the folders themselves, to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            handle = os.open(os.path.join(parent, name), os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(parent))
