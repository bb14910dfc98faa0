"""What prototypes respond to."""

from __future__ import annotations

from functools import partial

from analysis.measures.responses.figures import kinds_of_prototypes, partition_maps, place_against_objects
from analysis.measures.responses.read import kinds_table, what_was_learned
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

KINDS = (
    Column("label", "variant"),
    Column("kind", "kind"),
    Column("mean", "as strongest", 1, sd="sd", counts=True),
    Column("has", "at all", 1, sd="has_sd", counts=True),
    Column("beyond", "beyond random weights", 1, sd="beyond_sd", counts=True),
    Column("random", "random weights, as strongest", 1),
    Column("prototypes", "of", 0),
    Column("n", "seeds"),
)
KINDS_NOTE = (
    "As strongest: prototypes that are of no kind more; at all: those that are of other kinds more, too; beyond random "
    "weights: of these, those that are so more than every prototype of the networks with random weights."
)


class ResponsesSection(Section):
    """Partition maps and kinds of prototypes."""

    name = "responses"

    def learned(self) -> Html:
        """How many prototypes of each variant do what random weights don't."""
        names = self.experiment.colour_order
        said = [self.pieces.sentence(partial(what_was_learned, self.experiment, name)) for name in names]
        return Html("".join(piece.source for piece in said))

    def maps(self, variant: str = "") -> Html:
        return self._draw(lambda: partition_maps(self.experiment, self._variant(variant)))

    def kinds(self) -> Html:
        return self._draw(lambda: kinds_of_prototypes(self.experiment))

    def kinds_table(self) -> Html:
        title = "Number of prototypes of each kind: means ± sample standard deviations over seeds"
        return self.pieces.frame("kinds", title, lambda: kinds_table(self.experiment), KINDS, (KINDS_NOTE,))

    def place(self) -> Html:
        return self._draw(lambda: place_against_objects(self.experiment))
