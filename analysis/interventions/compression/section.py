"""Fewer prototypes."""

from __future__ import annotations

from analysis.interventions.compression.figures import accuracy_against_m
from analysis.interventions.compression.read import compression_answer
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables import tidy as tables


class CompressionSection(Section):
    """AP with fewer prototypes."""

    name = "compression"

    def answer(self, name: str) -> Html:
        return self.pieces.sentence(lambda: self._answer(name))

    def accuracy(self, name: str) -> Html:
        """AP with fewer prototypes, from the experiment that asks for it."""
        return self._draw_other(name, lambda it: accuracy_against_m(it, self.scale.summary(name)))

    def _answer(self, name: str) -> str:
        experiment = self.scale.experiment(name)
        return compression_answer(experiment, tables.tidy(experiment))
