"""Whether prototypes depend on place, and what padding has to do with it."""

from __future__ import annotations

from analysis.measures.probes.figures import activation_by_place, border_profile, figure_five, sense_of_place
from analysis.measures.probes.read import padding_claim, probes_summary
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

PROBES = (
    Column("words", "measure"),
    Column("unit", "unit"),
    Column("label", "variant"),
    Column("mean", "mean", sd="sd"),
    Column("change", "change [95 % interval]", ends=("low", "high"), change=True),
    Column("n", "seeds"),
)
PROBES_NOTE = "Changes are paired by seed against the reference variant (t interval). * clearly: the interval excludes 0."


class ProbesSection(Section):
    """The paper's figure 5, and the sense of place by padding."""

    name = "probes"

    def figure_five(self, variant: str = "") -> Html:
        return self._draw(lambda: figure_five(self.experiment, self._variant(variant)))

    def activation_by_place(self, variant: str = "") -> Html:
        return self._draw(lambda: activation_by_place(self.experiment, self._variant(variant)))

    def table(self) -> Html:
        title = "What the probes tell of place: means ± sample standard deviations over seeds"
        return self.pieces.frame("probes", title, lambda: probes_summary(self.experiment), PROBES, (PROBES_NOTE,))

    def padding_answer(self, name: str) -> Html:
        """Whether padding tells a network where it is, from the experiment that compares paddings."""
        return self.pieces.sentence(lambda: padding_claim(self.scale.experiment(name), self.scale.summary(name)))

    def padding(self, name: str) -> Html:
        return self._draw_other(name, lambda it: sense_of_place(it, self.scale.summary(name)))

    def border(self, name: str) -> Html:
        return self._draw_other(name, border_profile)
