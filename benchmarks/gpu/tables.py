"""From the GPU benchmark's results folder to a few small files: tables as CSV and markdown, figures, and what made them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from analysis.figures.accuracy import accuracy
from analysis.figures.style import house_style, new_figure
from analysis.results import experiment as stored
from analysis.results.experiment import Experiment, MissingResult
from analysis.tables.layout import detail_tables, headline_tables
from analysis.tables.tidy import summary, tidy
from analysis.tables.writers import csv, markdown
from benchmarks.common.figures import grouped
from experiments.run.provenance import environment, sources
from experiments.store.folder import Store
from yolact.errors import UserError
from yolact.runtime.files import write_json, write_text, written_aside
from yolact.runtime.hardware import usable_cores

_HOW = {
    "agreement": "Random weights; `count` values, detections or pixels were compared. fp32 without TF32.",
    "throughput": "Images in the device's memory, masks left there; random weights; medians, quartiles in throughput.csv. "
    "`times eager fp32`: of the same preset and batch, alternating.",
    "training": "Steps of the trainer from batch to batch, from pinned memory, without the loader; quartiles in training.csv.",
}


@dataclass(frozen=True)
class Folders:
    """Where the benchmark keeps what it did, and where it writes what to keep."""

    results: Path
    out: Path

    @property
    def agreement(self) -> Path:
        return self.results / "agreement"

    @property
    def throughput(self) -> Path:
        return self.results / "throughput"

    @property
    def training(self) -> Path:
        return self.results / "training"

    @property
    def commands(self) -> Path:
        """A folder for each of the other benchmarks."""
        return self.results / "commands"

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        """One measurement's file."""
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{path}: is not JSON; delete it, and it is measured again") from None

    def found(self, folder: Path) -> list[Any]:
        """What every measurement in a folder found, by file name."""
        return [self.read(path)["found"] for path in sorted(folder.glob("*.json"))]


def write_outputs(folders: Folders, device: str) -> list[str]:
    """Write every table and figure there is something for; returns what is wrong in them, a line each."""
    agreement = pd.DataFrame([row for rows in folders.found(folders.agreement) for row in rows])
    rates = pd.DataFrame([row for rows in folders.found(folders.throughput) for row in rows])
    steps = pd.DataFrame(folders.found(folders.training))
    experiments = [
        stored.load(folders.results, record["experiment"], record["scale"]) for record in Store(folders.results).experiments()
    ]
    made = {
        key: value
        for key, value in environment(device, usable_cores(), None, sources()).items()
        if key not in ("host", "executable")
    }
    write_json(folders.out / "environment.json", {"date": datetime.now(UTC).date().isoformat(), **made})
    parts = [f"# On {made['device_name']}\n\nHardware, versions and date: environment.json.\n"]
    for name, frame, shown in (
        ("agreement", agreement, _agreement_shown),
        ("throughput", rates, _throughput_shown),
        ("training", steps, _training_shown),
    ):
        if len(frame):
            write_text(folders.out / f"{name}.csv", csv(frame))
            parts.append(f"## {name.capitalize()}\n\n{_HOW[name]}\n\n{_pipes(shown(frame))}")
    if len(rates):
        _save(folders.out / "throughput.png", [_drawn(lambda: _latency_figure(rates))])
    for file in folders.commands.glob("*/*.*"):
        with written_aside(folders.out / file.name) as aside:
            aside.write_bytes(file.read_bytes())
    parts += _experiments(folders, experiments)
    write_text(folders.out / "tables.md", "\n".join(parts))
    return _wrong(agreement, experiments)


def _wrong(agreement: pd.DataFrame, experiments: list[Experiment]) -> list[str]:
    lines = []
    if len(agreement):
        for row in agreement[~agreement["agrees"]].itertuples():
            lines.append(f"{row.preset}, {row.quantity}: {row.difference:.2g}, tolerance {row.tolerance:g}, count {row.count}")
    for experiment in experiments:
        failed = [stage_id for stage_id, _, _ in experiment.stages() if experiment.state(stage_id) == "failed"]
        lines += [f"{experiment.name}: {stage_id} failed" for stage_id in failed]
    return lines


def _experiments(folders: Folders, experiments: list[Experiment]) -> list[str]:
    """The text of each experiment's tables; writes ablations.csv and ablations.png."""
    parts, frames, pictures = [], [], []
    for experiment in experiments:
        found = summary(experiment)
        frames.append(found.assign(experiment=experiment.name))
        tables = (*headline_tables(experiment, found), *detail_tables(experiment, found))
        parts.append("\n".join([f"## {experiment.title}\n", *map(markdown, tables)]))
        try:
            picture = accuracy(experiment, found, tidy(experiment))
        except MissingResult:
            continue
        picture.figure.suptitle(f"{experiment.title} ({experiment.data}, scale {experiment.scale})")
        pictures.append(_drawn(lambda picture=picture: picture.figure))
    if frames:
        write_text(folders.out / "ablations.csv", csv(pd.concat(frames)))
    if pictures:
        _save(folders.out / "ablations.png", pictures)
    return parts


def _agreement_shown(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({
        "preset": frame["preset"],
        "quantity": frame["quantity"],
        "difference": [f"{value:.1e}" for value in frame["difference"]],
        "tolerance": [f"{value:.0e}" for value in frame["tolerance"]],
        "agrees": ["yes" if value else "NO" for value in frame["agrees"]],
        "count": frame["count"],
        "measured as": frame["measure"],
    })  # fmt: skip


def _throughput_shown(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({
        **{name: frame[name] for name in ("preset", "batch", "engine", "precision")},
        "images per second": [f"{value:.1f}" for value in frame["images_per_s"]],
        "times eager fp32": [f"{value:.2f}" for value in frame["ratio"]],
    })  # fmt: skip


def _training_shown(frame: pd.DataFrame) -> pd.DataFrame:
    rates = pd.DataFrame({"images per second": [f"{value:.1f}" for value in frame["images_per_s"]]})
    return pd.concat([frame[["preset", "batch", "precision", "compiled"]], rates], axis=1)


def _pipes(frame: pd.DataFrame) -> str:
    lines = [list(map(str, frame.columns)), ["---"] * len(frame.columns), *frame.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


@house_style
def _latency_figure(rates: pd.DataFrame) -> Figure:
    """Latency of each preset at the smallest batch, a bar for each engine and precision."""
    batch = rates["batch"].min()
    rows = rates[rates["batch"] == batch].assign(way=rates["engine"] + " " + rates["precision"]).to_dict("records")
    names = {(row["preset"], row["way"]) for row in rows}
    figure = new_figure(1.5 + 0.25 * len(names))
    axes = figure.subplots()
    grouped(axes, [{**row, "ratio": None} for row in rows], "preset", "way")
    figure.suptitle(f"Latency at batch {batch}", fontsize=9)
    return figure


def _drawn(figure: Callable[[], Any]) -> Image.Image:
    buffer = io.BytesIO()
    house_style(lambda: figure().savefig(buffer, format="png", dpi=110, facecolor="white"))()
    return Image.open(buffer)


def _save(path: Path, pictures: list[Image.Image]) -> None:
    """One below the other, in one file."""
    whole = Image.new("RGB", (max(each.width for each in pictures), sum(each.height for each in pictures)), "white")
    top = 0
    for picture in pictures:
        whole.paste(picture, (0, top))
        top += picture.height
    with written_aside(path) as aside:
        whole.quantize(256).save(aside, format="PNG", optimize=True)
