"""The report on what prototypes respond to, and on whether they know where they are."""

from __future__ import annotations

from functools import partial

from analysis.measures.probes.figures import activation_by_place, border_profile, figure_five, sense_of_place
from analysis.measures.probes.read import padding_claim, probes_summary
from analysis.measures.responses.figures import kinds_of_prototypes, partition_maps, place_against_objects
from analysis.measures.responses.read import kinds_table, what_was_learned
from analysis.report.pages.base import Page
from analysis.report.pages.pieces import Html
from analysis.tables.columns import Column

KINDS = (
    Column("label", "variant"),
    Column("kind", "kind"),
    Column("mean", "as strongest", 1, sd="sd"),
    Column("has", "at all", 1, sd="has_sd"),
    Column("beyond", "beyond random weights", 1, sd="beyond_sd"),
    Column("random", "random weights, as strongest", 1),
    Column("prototypes", "of", 0),
    Column("n", "seeds"),
)
KINDS_NOTE = (
    "As strongest: prototypes that are of no kind more; at all: those that are of other kinds more, too; beyond random "
    "weights: of these, those that are so more than every prototype of the networks with random weights."
)
PROBES = (
    Column("words", "measure"),
    Column("unit", "unit"),
    Column("label", "variant"),
    Column("mean", "mean", sd="sd"),
    Column("change", "change [95 % interval]", ends=("low", "high"), change=True),
    Column("n", "seeds"),
)
PROBES_NOTE = "Changes are paired by seed against the reference variant (t interval). * clearly: the interval excludes 0."


class PartitionPage(Page):
    """Partition maps and kinds of prototypes, the paper's figure 5, and the sense of place by padding.

    Where a variant is asked for, "" is the reference.
    """

    def learned(self) -> Html:
        """How many prototypes of each variant do what random weights don't."""
        names = self.experiment.colour_order
        said = [self.pieces.sentence(partial(what_was_learned, self.experiment, name)) for name in names]
        return Html("".join(piece.source for piece in said))

    def maps(self, variant: str = "") -> Html:
        return self._draw(lambda: partition_maps(self.experiment, variant or self.experiment.reference))

    def kinds(self) -> Html:
        return self._draw(lambda: kinds_of_prototypes(self.experiment))

    def kinds_table(self) -> Html:
        title = "Number of prototypes of each kind: means ± sample standard deviations over seeds"
        return self.pieces.frame("kinds", title, lambda: kinds_table(self.experiment), KINDS, (KINDS_NOTE,))

    def place(self) -> Html:
        return self._draw(lambda: place_against_objects(self.experiment))

    def figure_five(self, variant: str = "") -> Html:
        return self._draw(lambda: figure_five(self.experiment, variant or None))

    def activation_by_place(self, variant: str = "") -> Html:
        return self._draw(lambda: activation_by_place(self.experiment, variant or None))

    def probes(self) -> Html:
        title = "What the probes tell of place: means ± sample standard deviations over seeds"
        return self.pieces.frame("probes", title, lambda: probes_summary(self.experiment), PROBES, (PROBES_NOTE,))

    def padding_answer(self, name: str) -> Html:
        """Whether padding tells a network where it is, from the experiment that compares paddings."""
        return self.pieces.sentence(lambda: padding_claim(self.scale.experiment(name), self.scale.summary(name)))

    def padding(self, name: str) -> Html:
        return self._draw_other(name, lambda it: sense_of_place(it, self.scale.summary(name)))

    def border(self, name: str) -> Html:
        return self._draw_other(name, border_profile)
