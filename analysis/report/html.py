"""From an executed notebook to one HTML file that needs nothing else: styles and figures lie in it, no link leaves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


@dataclass(frozen=True)
class Heading:
    """What stands on top of the page."""

    title: str
    facts: tuple[tuple[str, str], ...]
    """(name, value) pairs, such as ("scale", "toy")."""
    kind: str
    """What kind of report it is, in a word or two."""


@dataclass(frozen=True)
class Section:
    """The cells below one second-level heading."""

    title: str
    anchor: str
    cells: tuple[NotebookNode, ...]


def as_page(notebook: NotebookNode, heading: Heading, failure: str | None = None) -> str:
    """The page.

    Args:
        failure: which cell ended the notebook and why, shown on top; None where all ran.
    """
    from nbconvert import HTMLExporter  # slow to import

    exporter = HTMLExporter(template_name="report", extra_template_basedirs=[str(TEMPLATES)])
    resources = {"heading": heading, "sections": sections(notebook), "failure": failure, "styles": _styles()}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return page


def sections(notebook: NotebookNode) -> tuple[Section, ...]:
    """The notebook cut at its second-level headings; what stands above the first of them is left out unless it failed."""
    found: list[tuple[str, list[NotebookNode]]] = [("Set-up", [])]
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            title, _, rest = cell.source.removeprefix("## ").partition("\n")
            found.append((title.strip(), [NotebookNode({**cell, "source": rest.strip()})] if rest.strip() else []))
        elif "injected-parameters" not in cell.metadata.get("tags", []) or _failed(cell):
            found[-1][1].append(cell)
    if not any(_failed(cell) for cell in found[0][1]):
        found = found[1:]
    return tuple(Section(title, _anchor(title), tuple(cells)) for title, cells in found)


def _failed(cell: NotebookNode) -> bool:
    return any(output.output_type == "error" for output in cell.get("outputs", []))


def _anchor(title: str) -> str:
    return "section-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _styles() -> str:
    from pygments.formatters import HtmlFormatter

    light, dark = (HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("friendly", "github-dark"))
    own = (TEMPLATES / "report" / "report.css").read_text(encoding="utf-8")
    return f"{light}\n@media screen and (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}"
