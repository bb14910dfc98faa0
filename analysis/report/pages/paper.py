"""The report on the paper: every table and figure of it on one page, ours beside the printed values."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis import figures
from analysis.figures.picture import Picture
from analysis.figures.speed import protocol
from analysis.figures.style import colours
from analysis.interventions.compression.figures import accuracy_against_m
from analysis.interventions.oracle.figures import accuracy_against_noise, oracle_budget
from analysis.measures.errors.figures import ap_by_iou, error_types
from analysis.measures.probes.figures import figure_five, sense_of_place
from analysis.measures.prototypes.figures import best_prototype_variant, prototypes
from analysis.measures.stability.figures import consecutive_iou
from analysis.page.pieces import Html, Pieces, hole
from analysis.page.scale import Scale
from analysis.report.pages.base import missing
from analysis.results.experiment import Experiment, MissingResult
from analysis.tables import tidy as tables
from analysis.tables import writers
from analysis.tables.answer import answer
from analysis.tables.layout import headline_tables
from analysis.tables.paper import paper_table
from experiments.store.folder import Store


class PaperPage:
    """The pieces of the page. Each names its experiment; one that was not run leaves a hole that says how to run it."""

    def __init__(self, store: Store, scale: str, output: Path | None = None) -> None:
        """
        Args:
            output: an existing folder to write figures and tables to; None writes nothing.
        """
        self.scale = Scale(store, scale)
        self.pieces = Pieces(output)

    @classmethod
    def open(cls, results: str, scale: str, output: str = "") -> PaperPage:
        """The page on the stored results of a scale.

        Args:
            output: an existing folder to write figures and tables to; "" writes nothing.
        """
        return cls(Store(results), scale, Path(output) if output else None)

    def answers(self, *names: str) -> Html:
        """Each experiment's question, and its answer in one sentence."""
        return Html("".join(self._answer(name) for name in names))

    def table(self, name: str) -> Html:
        """The table of an experiment with the paper's values under ours; changes with their intervals folded away."""
        try:
            experiment, summary = self.scale.experiment(name), self.scale.summary(name)
        except MissingResult as absent:
            return hole(f"No table: {absent}")
        shades = colours(experiment)
        *first, last = headline_tables(experiment, summary)
        changes = "".join(writers.as_html(table, shades) for table in (*first, replace(last, notes=())))
        return Html(
            writers.as_html(paper_table(experiment, summary, last.notes), shades)
            + self._links(experiment, summary)
            + f"<details><summary>Changes with their intervals</summary>{changes}</details>"
        )

    def accuracy(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy(it, self.scale.summary(name), tables.tidy(it)))

    def accuracy_by_size(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy_by_size(it, self.scale.summary(name)))

    def accuracy_against_latency(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.accuracy_against_latency(it, self.scale.summary(name), protocol(it)))

    def ap_by_iou(self, name: str) -> Html:
        return self._draw(name, ap_by_iou)

    def figure_five(self, name: str) -> Html:
        return self._draw(name, figure_five)

    def sense_of_place(self, name: str) -> Html:
        return self._draw(name, lambda it: sense_of_place(it, self.scale.summary(name)))

    def oracle(self, name: str) -> Html:
        return self._draw(name, oracle_budget)

    def error_types(self, name: str) -> Html:
        return self._draw(name, error_types)

    def compression(self, name: str) -> Html:
        return self._draw(name, lambda it: accuracy_against_m(it, self.scale.summary(name)))

    def noise(self, name: str) -> Html:
        return self._draw(name, accuracy_against_noise)

    def steadiness(self, name: str) -> Html:
        return self._draw(name, consecutive_iou)

    def boxes_and_masks(self, name: str) -> Html:
        return self._draw(name, lambda it: figures.boxes_and_masks(it, self.scale.summary(name)))

    def prototypes(self, name: str) -> Html:
        return self._draw(name, lambda it: prototypes(it, best_prototype_variant(it, self.scale.summary(name))))

    def missing(self) -> Html:
        """What failed or is missing in any experiment of the page."""
        return missing([self.scale.experiment(name) for name in self.scale.experiments])

    def _draw(self, name: str, draw: Callable[[Experiment], Picture]) -> Html:
        return self.pieces.picture(lambda: draw(self.scale.experiment(name)), prefix=f"{name}-")

    def _answer(self, name: str) -> str:
        try:
            experiment, summary = self.scale.experiment(name), self.scale.summary(name)
        except MissingResult as absent:
            return hole(f"No answer: {absent}").source
        return f"<p><b>{html.escape(experiment.question)}</b><br>{html.escape(answer(experiment, summary))}</p>"

    def _links(self, experiment: Experiment, summary: pd.DataFrame) -> str:
        """To the table's numbers, and to the experiment's own report where it was made."""
        link = self.pieces.csv(experiment.name, writers.summary_csv(experiment, summary))
        report = f"{experiment.name}-{experiment.scale}"
        if (experiment.store.report_folder(report) / "index.html").is_file():
            link += f'<p class="files"><a href="../{report}/index.html">the whole report on this</a></p>'
        return link
