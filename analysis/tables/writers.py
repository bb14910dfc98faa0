"""Writing a table as markdown, LaTeX (booktabs), aligned text or HTML. CSV holds the summary's numbers, unrounded."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping

import pandas as pd

from analysis.results.experiment import Experiment
from analysis.tables.layout import SINGLE, Table, detail_tables, headline_tables
from analysis.tables.tidy import published, summary

_TEXT_WIDTH = 100

_LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
          "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "–": "--", "→": r"$\to$",
          "≥": r"$\geq$", "≤": r"$\leq$", "×": r"$\times$"}  # fmt: skip


def csv(frame: pd.DataFrame) -> str:
    """Every column of a data frame, numbers unrounded, empty where undefined."""
    return frame.to_csv(index=False, lineterminator="\n")


def summary_csv(experiment: Experiment, frame: pd.DataFrame) -> str:
    """`tables.summary` as CSV, followed by the published values of other methods where there are any."""
    rows = csv(published(experiment)).splitlines(keepends=True)[1:]
    return csv(frame) + "".join(rows)


def markdown(table: Table) -> str:
    """A pipe table, numbers to the right, with its title above and its notes below."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("\\", "\\\\").replace("|", "\\|").replace("*", "\\*") for cell in cells) + " |"

    rule = "|---|" + "---:|" * (len(table.header) - 1)
    body = [f"**{table.title}**", "", line(table.header), rule, *map(line, table.rows)]
    notes = [note.replace("*", "\\*") for note in table.notes]
    return "\n".join([*body, *(part for note in notes for part in ("", note))]) + "\n"


def text(table: Table) -> str:
    """Columns aligned with spaces."""
    lines = [table.header, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.header))]

    def line(cells: tuple[str, ...]) -> str:
        first, *others = (cell.ljust(width) if i == 0 else cell.rjust(width)
                          for i, (cell, width) in enumerate(zip(cells, widths, strict=True)))  # fmt: skip
        return "  ".join([first, *others]).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    notes = [wrapped for note in table.notes for wrapped in textwrap.wrap(note, _TEXT_WIDTH)]
    return "\n".join([table.title, "", line(table.header), rule, *map(line, table.rows), "", *notes]).rstrip() + "\n"


def latex(table: Table) -> str:
    """A `table` float in the style of booktabs; it needs `\\usepackage{booktabs}`."""

    def escape(cell: str) -> str:
        return "".join(_LATEX.get(character, character) for character in cell)

    def line(cells: tuple[str, ...]) -> str:
        return " & ".join(map(escape, cells)) + r" \\"

    return "\n".join([
        "% needs \\usepackage{booktabs}", r"\begin{table}", r"\centering", rf"\caption{{{escape(table.title)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}", r"\toprule", line(table.header), r"\midrule",
        *map(line, table.rows), r"\bottomrule", r"\end{tabular}", *(rf"\par\small {escape(note)}" for note in table.notes),
        r"\end{table}",
    ]) + "\n"  # fmt: skip


_TALL = 16
"""Rows from which a table scrolls in a box of its own."""


def as_html(table: Table, colours: Mapping[str, str] | None = None) -> str:
    """A table in a box that scrolls sideways, a long one downwards too.

    Args:
        colours: {variant: colour}, to mark each variant's row with the colour of its figures.
    """
    tall = "" if colours or len(table.rows) < _TALL else " tall"
    left = [' class="words"' if at in table.left else "" for at in range(len(table.header))]
    head = "".join(f'<th scope="col"{mark}>{html.escape(cell)}</th>' for mark, cell in zip(left, table.header, strict=True))
    rows = []
    for index, cells in enumerate(table.rows):
        colour = (colours or {}).get(table.variants[index]) if index < len(table.variants) else None
        chip = f'<span class="chip" style="background:{colour}"></span>' if colour else ""
        first = f'<th scope="row">{chip}{html.escape(cells[0])}</th>'
        aside = ' class="aside"' if table.variants[index:] and not table.variants[index] else ""
        rows.append(f"<tr{aside}>{first}{''.join(map(_cell, cells[1:], left[1:]))}</tr>")
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in table.notes)
    return (
        f'<p class="title">{html.escape(table.title)}</p>'
        f'<div class="table{tall}" tabindex="0" role="region" aria-label="{html.escape(table.title)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
        f'</table></div><div class="notes">{notes}</div>'
    )


def render(experiment: Experiment, form: str) -> str:
    """An experiment's tables in one of `FORMATS`."""
    found = summary(experiment)
    if form == "csv":
        return summary_csv(experiment, found)
    writer = {"markdown": markdown, "latex": latex, "text": text}[form]
    return "\n".join(writer(table) for table in (*headline_tables(experiment, found), *detail_tables(experiment, found)))


FORMATS = ("markdown", "csv", "latex", "text")


def _cell(cell: str, left: str = "") -> str:
    mark = "missing" if cell == "missing" else "loud" if SINGLE in cell else "clear" if cell.endswith("*") else ""
    return f'<td class="{mark}">{html.escape(cell)}</td>' if mark and not left else f"<td{left}>{html.escape(cell)}</td>"
