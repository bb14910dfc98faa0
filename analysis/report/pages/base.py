"""What every report on one experiment has: its question, its runs, its stages, and what is missing."""

from __future__ import annotations

import html
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import pandas as pd

from analysis.figures.picture import Picture
from analysis.figures.style import colours
from analysis.page.pieces import Html, Pieces, box
from analysis.page.scale import Scale
from analysis.page.section import Section
from analysis.results import provenance
from analysis.results.experiment import Experiment, load
from analysis.tables import tidy as tables
from analysis.tables.answer import answer

STAGES = {
    "stage": "stage",
    "kind": "kind",
    "serves": "serves",
    "state": "state",
    "started": "started (UTC)",
    "wall_seconds": "time (s)",
    "peak_memory_mb": "peak memory (MB)",
    "device": "device",
    "threads": "threads",
    "precision": "precision",
    "python": "Python",
    "packages": "packages",
    "code": "code",
}
"""Columns of `provenance.stages`, in words."""


class Page:
    """The pieces of a report on one experiment; each call returns one.

    Each section is an attribute under its name.
    """

    SECTIONS: ClassVar[tuple[type[Section], ...]] = ()

    def __init__(self, experiment: Experiment, output: Path | None = None) -> None:
        """
        Args:
            output: an existing folder to write figures and tables to; None writes nothing.
        """
        self.experiment = experiment
        self.output = output
        self.pieces = Pieces(output)
        self.scale = Scale(experiment.store, experiment.scale)
        for section in self.SECTIONS:
            setattr(self, section.name, section(experiment, self.pieces, self.scale))

    @classmethod
    def open(cls, results: str, experiment: str, scale: str, output: str = "") -> Self:
        """The page on an experiment's stored results.

        Args:
            output: an existing folder to write figures and tables to; "" writes nothing.

        Raises:
            experiments.store.folder.StoreError: the experiment was not run there.
        """
        return cls(load(results, experiment, scale), Path(output) if output else None)

    @cached_property
    def numbers(self) -> pd.DataFrame:
        return tables.tidy(self.experiment)

    @cached_property
    def table(self) -> pd.DataFrame:
        return tables.summary(self.experiment)

    def question(self) -> Html:
        """The question, and the variants that ask it."""
        items = "".join(
            f'<li><span class="chip" style="background:{colours(self.experiment)[variant.name]}"></span>'
            f"<b>{html.escape(variant.label)}</b> {_changes(variant.changes)}</li>"
            for variant in self.experiment.variants
        )
        return Html(f'<p class="question">{html.escape(self.experiment.question)}</p><ul class="variants">{items}</ul>')

    def answer(self) -> Html:
        """The answer in one sentence."""
        return Html(f'<p class="answer">{html.escape(answer(self.experiment, self.table))}</p>')

    def runs(self) -> Html:
        """Every run's numbers, each a link to the folder of the stage that measured it."""
        numbers = provenance.runs(self.experiment, self.numbers)
        metrics = list(dict.fromkeys(numbers["metric"]))
        rows = []
        for (variant, seed), own in numbers.groupby(["variant", "seed"], sort=False):
            cells = own.set_index("metric")
            values = "".join(_linked(cells.loc[name], self.experiment.metrics[name].decimals) for name in metrics)
            label = html.escape(self.experiment.variant(variant).label)
            rows.append(f'<tr><th scope="row">{label}</th><td>{seed}</td>{values}</tr>')
        columns = [self.experiment.metrics[name].heading for name in metrics]
        return Html(box("Every run", ["variant", "seed", *columns], rows))

    def stages(self) -> Html:
        """Every stage: what it ran on, with which code and packages, when and for how long."""
        frame = provenance.stages(self.experiment)
        same = {name: _only(frame[name]) for name in STAGES if name != "stage"}
        shown = [name for name in STAGES if same.get(name) is None]
        rows = ["<tr>" + "".join(_stage_cell(name, row[name]) for name in shown) + "</tr>" for row in frame.to_dict("records")]
        table = box("Every stage", [STAGES[name] for name in shown], rows, "tall words")
        common = "; ".join(f"{STAGES[name]}: {value}" for name, value in same.items() if value)
        note = f'<div class="notes"><p>The same for all that say: {html.escape(common)}.</p></div>' if common else ""
        return Html(table + note)

    def missing(self) -> Html:
        """What failed or is missing, with its reason."""
        return missing([self.experiment])

    def _draw(self, draw: Callable[[], Picture]) -> Html:
        return self.pieces.picture(draw)


def missing(experiments: list[Experiment]) -> Html:
    """What failed or is missing among the stages of these experiments: each stage once, with all that needs it."""
    needed: dict[tuple[str, str, str, int], dict[str, None]] = {}
    for experiment in experiments:
        for row in tables.holes(experiment).itertuples():
            own = needed.setdefault((row.stage, row.kind, row.reason, row.seed), {})
            own[experiment.variant(row.variant).label] = None
    if not needed:
        return Html('<p class="whole">Nothing failed and nothing is missing.</p>')
    rows = [
        f'<tr><th scope="row">{html.escape(", ".join(labels))}</th><td>{seed}</td><td>{stage_link(stage, kind)}</td>'
        f'<td class="words">{html.escape(reason)}</td></tr>'
        for (stage, kind, reason, seed), labels in needed.items()
    ]
    return Html(box("Failed or missing", ["variant", "seed", "stage", "reason"], rows, "tall words"))


def stage_link(stage: str | None, text: str) -> str:
    """A link from results/reports/<name>/ to the stage's folder."""
    return f'<a href="../../runs/{stage}/">{html.escape(text)}</a>' if stage else html.escape(text)


def _changes(changes) -> str:
    listed = ", ".join(f"{field} = {value}" for field, value in changes.items())
    return f"<code>{html.escape(listed)}</code>" if listed else "<span>the reference</span>"


def _linked(cell: pd.Series, decimals: int) -> str:
    text = "missing" if pd.isna(cell["value"]) else f"{cell['value']:.{decimals}f}"
    mark = ' class="missing"' if pd.isna(cell["value"]) else ""
    return f"<td{mark}>{stage_link(cell['stage'], text)}</td>"


def _only(values: pd.Series) -> str | None:
    """What all stages that say it have in common; None where they differ, or where there is one stage or none."""
    said = values.dropna().map(_text)
    said = said[said != ""]
    return said.iloc[0] if len(values) > 1 and said.nunique() == 1 else None


def _text(value) -> str:
    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 or value == round(value) else f"{value:.1f}"
    return str(value)


def _stage_cell(name: str, value) -> str:
    if name == "stage":
        return f'<th scope="row">{stage_link(value, value)}</th>'
    text = _text(value)
    return f'<td class="{"state " + text if name == "state" else "words"}">{html.escape(text)}</td>'
