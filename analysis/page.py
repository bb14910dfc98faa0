"""The parts of a report page, as notebooks show them: each call returns one piece of HTML.

With an output folder, what is shown is also written there: figures/ (PNG, SVG and data of each figure), table.csv, table.md.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from analysis import figures, provenance, tables, writers
from analysis.answer import answer
from analysis.figures.picture import Picture
from analysis.figures.prototypes import best_prototype_variant
from analysis.figures.speed import protocol
from analysis.figures.style import colours
from analysis.layout import detail_table, headline_tables
from analysis.metrics import METRICS
from analysis.results import Experiment, MissingResult, load


@dataclass(frozen=True)
class Html:
    """A piece of a page. Jupyter shows it by `_repr_html_`."""

    source: str

    def _repr_html_(self) -> str:
        return self.source


class Page:
    """The pieces of the report on one experiment."""

    def __init__(self, experiment: Experiment, output: Path | None = None) -> None:
        self.experiment = experiment
        self.output = output

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

    def tables(self) -> Html:
        """A table per headline metric, and the other metrics folded away."""
        headline, detail = headline_tables(self.experiment, self.table), detail_table(self.experiment, self.table)
        links = ""
        if self.output is not None:
            (self.output / "table.csv").write_text(writers.summary_csv(self.experiment, self.table), encoding="utf-8")
            text = "\n".join(writers.markdown(table) for table in (*headline, detail))
            (self.output / "table.md").write_text(text, encoding="utf-8")
            links = '<p class="files"><a href="table.csv" download>CSV</a><a href="table.md" download>Markdown</a></p>'
        shades = colours(self.experiment)
        shown = "".join(writers.as_html(table, shades) for table in headline)
        more = f"<details><summary>All other metrics</summary>{writers.as_html(detail, shades)}</details>"
        return Html(f"{shown}{links}{more}")

    def accuracy(self) -> Html:
        return self._draw(lambda: figures.accuracy(self.experiment, self.table, self.numbers))

    def losses(self) -> Html:
        return self._draw(lambda: figures.losses(self.experiment))

    def precision_recall(self) -> Html:
        """Of the best variant, beside the reference."""
        return self._draw(lambda: figures.precision_recall(self.experiment, self._best_and_reference()))

    def accuracy_by_size(self) -> Html:
        return self._draw(lambda: figures.accuracy_by_size(self.experiment, self.table))

    def accuracy_against_latency(self) -> Html:
        return self._draw(lambda: figures.accuracy_against_latency(self.experiment, self.table, protocol(self.experiment)))

    def speed_by_stage(self) -> Html:
        return self._draw(lambda: figures.speed_by_stage(self.experiment))

    def prototypes(self) -> Html:
        """Of the variant with the best mask AP that has prototypes."""
        return self._draw(lambda: figures.prototypes(self.experiment, best_prototype_variant(self.experiment, self.table)))

    def runs(self) -> Html:
        """Every run's numbers, each a link to the folder of the stage that measured it."""
        numbers = provenance.runs(self.experiment, self.numbers)
        metrics = list(dict.fromkeys(numbers["metric"]))
        rows = []
        for (variant, seed), own in numbers.groupby(["variant", "seed"], sort=False):
            cells = own.set_index("metric")
            values = "".join(_linked(cells.loc[name], METRICS[name].decimals) for name in metrics)
            rows.append(
                f'<tr><th scope="row">{html.escape(self.experiment.variant(variant).label)}</th><td>{seed}</td>{values}</tr>'
            )
        head = "".join(f'<th scope="col">{METRICS[name].label} ({METRICS[name].unit})</th>' for name in metrics)
        return Html(_box("Every run", f'<th scope="col">variant</th><th scope="col">seed</th>{head}', rows))

    def stages(self) -> Html:
        """Every stage: what it ran on, with which code and packages, when and for how long."""
        frame = provenance.stages(self.experiment)
        head = "".join(f'<th scope="col">{name.replace("_", " ")}</th>' for name in frame.columns)
        rows = [
            "<tr>" + "".join(_stage_cell(name, value) for name, value in row.items()) + "</tr>"
            for row in frame.to_dict("records")
        ]
        return Html(_box("Every stage", head, rows, "tall"))

    def missing(self) -> Html:
        """What failed or is missing, with its reason."""
        frame = tables.holes(self.experiment)
        if frame.empty:
            return Html('<p class="whole">Nothing failed and nothing is missing.</p>')
        rows = [
            f'<tr><th scope="row">{html.escape(self.experiment.variant(row.variant).label)}</th><td>{row.seed}</td>'
            f'<td>{_stage_link(row.stage, row.kind)}</td><td class="words">{html.escape(row.reason)}</td></tr>'
            for row in frame.itertuples()
        ]
        head = "".join(f'<th scope="col">{name}</th>' for name in ("variant", "seed", "stage", "reason"))
        return Html(_box("Failed or missing", head, rows))

    def _best_and_reference(self) -> tuple[str, str]:
        return tables.best_variant(self.experiment, self.table).name, self.experiment.reference

    def _draw(self, draw: Callable[[], Picture]) -> Html:
        """The figure with its caption; a visible hole with its reason where there is nothing to draw."""
        try:
            picture = draw()
        except MissingResult as missing:
            return Html(f'<p class="hole">Nothing to draw: {html.escape(str(missing))}.</p>')
        if self.output is None:
            return Html(picture.as_html())
        folder = self.output / "figures"
        folder.mkdir(exist_ok=True)
        picture.save(folder)
        return Html(picture.as_html("figures"))


def open_page(results: str, experiment: str, scale: str, output: str = "") -> Page:
    """The page on an experiment's stored results.

    Args:
        output: an existing folder to write figures and tables to; "" writes nothing.

    Raises:
        experiments.store.StoreError: the experiment was not run there.
    """
    return Page(load(results, experiment, scale), Path(output) if output else None)


def _changes(changes) -> str:
    listed = ", ".join(f"{field} = {value}" for field, value in changes.items())
    return f"<code>{html.escape(listed)}</code>" if listed else "<span>the reference</span>"


def _linked(cell: pd.Series, decimals: int) -> str:
    text = "missing" if pd.isna(cell["value"]) else f"{cell['value']:.{decimals}f}"
    mark = ' class="missing"' if pd.isna(cell["value"]) else ""
    return f"<td{mark}>{_stage_link(cell['stage'], text)}</td>"


def _stage_cell(name: str, value) -> str:
    if name == "stage":
        return f'<th scope="row">{_stage_link(value, value)}</th>'
    text = "" if value is None or pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value)
    return f'<td class="{"state " + text if name == "state" else "words"}">{html.escape(text)}</td>'


def _stage_link(stage: str | None, text: str) -> str:
    """A link from results/reports/<name>/ to the stage's folder."""
    return f'<a href="../../runs/{stage}/">{html.escape(text)}</a>' if stage else html.escape(text)


def _box(title: str, head: str, rows: list[str], more: str = "") -> str:
    return (
        f'<div class="table {more}" tabindex="0" role="region" aria-label="{title}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
