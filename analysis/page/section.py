"""A part of a page: the figures, tables and sentences of one measure or intervention."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from analysis.figures.picture import Picture
from analysis.page.pieces import Html, Pieces
from analysis.page.scale import Scale
from analysis.results.experiment import Experiment


class Section:
    """Pieces of a page; each method returns one. A variant "" is the reference.

    Methods with a parameter `name` show another experiment of the same scale, which asks a question that belongs to this one.
    """

    name: ClassVar[str]
    """Under which a page has it."""

    def __init__(self, experiment: Experiment, pieces: Pieces, scale: Scale) -> None:
        self.experiment, self.pieces, self.scale = experiment, pieces, scale

    def _variant(self, name: str) -> str:
        return name or self.experiment.reference

    def _draw(self, draw: Callable[[], Picture]) -> Html:
        return self.pieces.picture(draw)

    def _draw_other(self, name: str, draw: Callable[[Experiment], Picture]) -> Html:
        """A figure of another experiment."""
        prefix = f"{name}-" if name != self.experiment.name else ""
        return self.pieces.picture(lambda: draw(self.scale.experiment(name)), prefix)
