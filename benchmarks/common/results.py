"""Files of a benchmark's results: a table as CSV, and a figure of the same name beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from analysis.figures.style import house_style
from yolact.runtime.files import write_text, written_aside
from yolact.runtime.hardware import device_name

Rows = Sequence[Mapping[str, Any]]


def write_results(
    folder: Path | None, name: str, rows: Rows, draw: Callable[[Rows, str], Figure] | None = None, device: str = "cpu"
) -> None:
    """Write `name`.csv and, of `draw(rows, hardware)`, `name`.png into `folder`; nothing without a folder.

    Args:
        device: torch device whose name is the hardware.
    """
    if folder is None:
        return
    write_csv(folder / f"{name}.csv", rows, device)
    if draw is not None:
        save(folder / f"{name}.png", draw(rows, device_name(device)))


def write_csv(path: Path, rows: Rows, device: str = "cpu") -> None:
    """Write rows (columns: all of theirs, in order of appearance) followed by `hardware`, `threads`, `torch`, `date`.

    Makes the folder. A row that already has one of these columns keeps its own value.
    """
    made = {
        "hardware": device_name(device),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "date": datetime.now(UTC).date().isoformat(),
    }
    whole = [{**row, **{name: value for name, value in made.items() if name not in row}} for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in whole for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text.getvalue())


@house_style
def save(path: Path, figure: Figure) -> None:
    """Write a PNG with a white background."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor="white")
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        aside.write_bytes(buffer.getvalue())
