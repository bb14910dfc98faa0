"""How much prototypes repeat each other."""

from __future__ import annotations

from analysis.measures.redundancy.figures import correlations, spectrum, use_per_class
from analysis.measures.redundancy.read import NUMBERS, redundancy_summary
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

REDUNDANCY = (
    Column("label", "variant"),
    Column("name", "number of", words=NUMBERS),
    Column("mean", "mean", 1, sd="sd", counts=True),
    Column("n", "seeds"),
)


class RedundancySection(Section):
    """Effective rank, correlation, and use per class."""

    name = "redundancy"

    def table(self) -> Html:
        """Effective rank and correlation per variant."""
        title = "How much the prototypes repeat each other: means ± sample standard deviations over seeds"
        return self.pieces.frame("redundancy", title, lambda: redundancy_summary(self.experiment), REDUNDANCY)

    def correlations(self) -> Html:
        return self._draw(lambda: correlations(self.experiment))

    def spectrum(self) -> Html:
        return self._draw(lambda: spectrum(self.experiment))

    def use_per_class(self, variant: str = "") -> Html:
        return self._draw(lambda: use_per_class(self.experiment, self._variant(variant)))
