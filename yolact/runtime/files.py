"""Atomic writes, so that a reader meets the old contents or the new ones, never half of them; digests of contents."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; rename it to `path` on success, remove it on failure.

    Raises:
        OSError: the folder cannot be written, or the disk is full; `path` is then as it was.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        with open(aside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `\\n` line ends."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, data: Any, indent: int | None = 1) -> None:
    """Write JSON in the order of the data's own keys; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(data, indent=indent, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Write a header and one line per row; what a row lacks is left empty.

    Args:
        columns: None takes those of the rows in the order in which they first occur.

    Raises:
        ValueError: a row has a column that is not among `columns`.
    """
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as a compressed .npz file; arrays of objects are refused with ValueError.

    The same arrays in the same order give the same bytes.
    """
    import numpy as np  # here, so that commands that write no arrays start without it

    with written_aside(path) as aside, open(aside, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def digest(path: Path) -> str:
    """SHA-256 in hex: of a file's contents; of a folder, of the names and digests of the files in it, without sub-folders."""
    if path.is_dir():
        names = {file.name: digest(file) for file in sorted(path.iterdir()) if file.is_file()}
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_contents(contents: Mapping[str, bytes]) -> str:
    """First 16 hex digits of the SHA-256 over names and contents, in the mapping's order."""
    state = hashlib.sha256()
    for name, content in contents.items():
        state.update(f"{name}\0{len(content)}\0".encode() + content)
    return state.hexdigest()[:16]
