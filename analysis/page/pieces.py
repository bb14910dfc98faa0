"""Pieces of a page: a figure, a table, or the visible hole in the place of what is missing.

With an output folder, what is shown is also written there: figures/ (PNG, SVG and data of each figure), tables/ (CSV).
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from analysis.figures.picture import Picture
from analysis.results.experiment import MissingResult
from analysis.tables import writers
from analysis.tables.columns import Column, as_table


@dataclass(frozen=True)
class Html:
    """A piece of a page. Jupyter shows it by `_repr_html_`."""

    source: str

    def _repr_html_(self) -> str:
        return self.source


class Pieces:
    """Draws pieces and writes their files."""

    def __init__(self, output: Path | None = None) -> None:
        """
        Args:
            output: an existing folder; None writes nothing.
        """
        self.output = output

    def picture(self, draw: Callable[[], Picture], prefix: str = "") -> Html:
        """The figure with its caption and links to its files.

        Args:
            prefix: put before the figure's name, where a page shows the same figure of several experiments.
        """
        try:
            picture = draw()
        except MissingResult as missing:
            return hole(f"Nothing to draw: {missing}")
        picture = replace(picture, name=f"{prefix}{picture.name}")
        if self.output is None:
            return Html(picture.as_html())
        folder = self.output / "figures"
        folder.mkdir(exist_ok=True)
        picture.save(folder)
        return Html(picture.as_html("figures"))

    def frame(
        self,
        name: str,
        title: str,
        make: Callable[[], pd.DataFrame],
        columns: Sequence[Column] = (),
        notes: tuple[str, ...] = (),
    ) -> Html:
        """A data frame as a table, with a link to the whole of it as CSV.

        Args:
            name: of the CSV file.
            columns: what is shown of it; by default everything.
        """
        try:
            frame = make()
        except MissingResult as missing:
            return hole(f"{title}: {missing}")
        return Html(writers.as_html(as_table(title, frame, columns, notes)) + self.csv(name, writers.csv(frame)))

    def sentence(self, make: Callable[[], str]) -> Html:
        """What was found, in words."""
        try:
            return Html(f'<p class="answer">{html.escape(make())}</p>')
        except MissingResult as missing:
            return hole(f"No answer: {missing}")

    def csv(self, name: str, content: str) -> str:
        """Write `tables/<name>.csv`; a link to it, "" without an output folder."""
        if self.output is None:
            return ""
        folder = self.output / "tables"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.csv").write_text(content, encoding="utf-8")
        hidden = f'<span class="hidden"> of {html.escape(name)}</span>'
        return f'<p class="files"><a href="tables/{name}.csv" download>CSV{hidden}</a></p>'


def hole(reason: str) -> Html:
    """The visible place of something that is not there."""
    return Html(f'<p class="hole">{html.escape(reason.rstrip("."))}.</p>')


def box(title: str, columns: list[str], rows: list[str], more: str = "") -> str:
    """A table from rows of HTML, in a box that scrolls.

    Args:
        columns: headings, as text.
        more: further CSS classes.
    """
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in columns)
    return (
        f'<div class="table {more}" tabindex="0" role="region" aria-label="{html.escape(title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
