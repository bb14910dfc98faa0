"""A finished figure with what a reader needs beside it, its files, and its form inside a page."""

from __future__ import annotations

import html
import io
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.style import GRID, GROUND, INK, house_style


@dataclass(frozen=True)
class Picture:
    """One figure of a report."""

    name: str
    """Name of its files."""
    figure: Figure
    caption: str
    """What is seen, on what data, from how many seeds."""
    alt: str
    """The finding in words, for those who cannot see the figure."""
    data: pd.DataFrame
    """The numbers that are drawn."""

    @cached_property
    @house_style
    def svg(self) -> str:
        """The figure as SVG with a transparent ground."""
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return buffer.getvalue()

    @house_style
    def save(self, folder: Path) -> None:
        """Write `<name>.png` (white ground), `.svg` and `.csv` (the data) to an existing folder."""
        self.figure.savefig(folder / f"{self.name}.png", dpi=160, facecolor="white")
        (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")
        self.data.to_csv(folder / f"{self.name}.csv", index=False, lineterminator="\n")

    def as_html(self, folder: str | None = None) -> str:
        """The figure inside a page: vector graphics in the page's own text colour, its caption, and links to its files.

        Args:
            folder: where `save` wrote the files, relative to the page; None leaves the links out.
        """
        links = "".join(
            f'<a href="{folder}/{self.name}.{kind}" download>{kind.upper()}<span class="hidden"> of {self.name}</span></a>'
            for kind in ("png", "svg", "csv")
        )
        files = f'<span class="files">{links}</span>' if folder is not None else ""
        return (
            f'<figure id="{self.name}"><div class="drawing" tabindex="0">{self._inline()}</div>'
            f"<figcaption>{html.escape(self.caption)} {files}</figcaption></figure>"
        )

    def _repr_html_(self) -> str:
        return self.as_html()

    def _inline(self) -> str:
        """The `<svg>` element alone, themed by the page, its ids unlike those of other figures, with its description."""
        svg = self.svg
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        svg = svg.replace(INK, "currentColor").replace(GRID, "var(--grid, #d9dde1)")
        svg = svg.replace(GROUND, "var(--ground, #fefefe)")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(self.alt, quote=True)}" ', 1)
