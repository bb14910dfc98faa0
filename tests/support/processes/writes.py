"""Worker processes whose writes can be met half done: the failpoints of the robustness tests.

A process that calls `install(folder, switch)` notes each publication in `folder`/published. While the file `folder`/<switch> is
there, it stops in the middle of a write, and marks the spot with a file named by its process id. It removes the file when it
goes on. So the mark of a dead process shows that it died in the middle of that write.
The text in the switch names the one write to stop in; where it is empty, any write is, by chance.
"""

from __future__ import annotations

import os
import random
import re
import time
from pathlib import Path

WAIT_SECONDS = 1.0
PROBABILITY = 0.1
WORKERS, LAUNCHERS = "workers-stop", "launchers-stop"


def install(folder: Path, switch: str) -> None:
    """Make this process's writes interruptible. Contents are written in two halves; renames get a pause on either side."""
    draw = random.Random()
    os.register_at_fork(after_in_child=draw.seed)
    real_write, real_replace, real_rename = Path.write_text, os.replace, os.rename

    def point(name: str) -> None:
        try:
            wanted = (folder / switch).read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        if wanted != name and (wanted or draw.random() > PROBABILITY):
            return
        mark = folder / f"{os.getpid()}.mark"
        real_write(mark, name)
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            time.sleep(0.005)
        mark.unlink()

    def write_text(path, data, encoding=None, errors=None, newline=None):
        with open(path, "w", encoding=encoding, errors=errors, newline=newline) as file:
            file.write(data[: len(data) // 2])
            file.flush()
            point(f"half of {plain(path)}")
            file.write(data[len(data) // 2 :])
        return len(data)

    def replace(source, target, **options):
        point(f"before replacing {plain(Path(target))}")
        real_replace(source, target, **options)

    def rename(source, target, **options):
        point(f"before renaming to {plain(Path(target))}")
        real_rename(source, target, **options)
        if Path(target).name == "result":
            with open(folder / "published", "a", encoding="utf-8") as file:
                file.write(f"{Path(target).parent.name}\n")
        point(f"after renaming to {plain(Path(target))}")

    Path.write_text, os.replace, os.rename = write_text, replace, rename


def plain(path: Path) -> str:
    """The name that a file will have when it is finished."""
    return re.sub(r"^\.(.*)\.\d+\.tmp$", r"\1", path.name)


def published(folder: Path) -> list[str]:
    """Ids of the stages whose results were put in place, once for every time."""
    path = folder / "published"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def marks(folder: Path) -> dict[int, str]:
    """{process id: where it stands in a write}"""
    found = {}
    for path in folder.glob("*.mark"):
        try:
            found[int(path.stem)] = path.read_text(encoding="utf-8")
        except OSError:
            continue
    return found
