"""The report on what prototypes respond to, and on whether they know where they are."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.figures.partition import kinds_of_prototypes, partition_maps, place_against_objects
from analysis.figures.probes import activation_by_place, border_profile, figure_five, sense_of_place
from analysis.pages.base import Page
from analysis.pages.pieces import Html
from analysis.partition import kinds_table, what_was_learned
from analysis.probes import padding_claim, probes_summary


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
        return self.pieces.frame("kinds", "Prototypes of each kind", self._kinds)

    def place(self) -> Html:
        return self._draw(lambda: place_against_objects(self.experiment))

    def figure_five(self, variant: str = "") -> Html:
        return self._draw(lambda: figure_five(self.experiment, variant or None))

    def activation_by_place(self, variant: str = "") -> Html:
        return self._draw(lambda: activation_by_place(self.experiment, variant or None))

    def probes(self) -> Html:
        return self.pieces.frame("probes", "What the probes tell of place", self._probes)

    def padding_answer(self, name: str) -> Html:
        """Whether padding tells a network where it is, from the experiment that compares paddings."""
        return self.pieces.sentence(lambda: padding_claim(self.scale.experiment(name), self.scale.summary(name)))

    def padding(self, name: str) -> Html:
        return self._draw_other(name, lambda it: sense_of_place(it, self.scale.summary(name)))

    def border(self, name: str) -> Html:
        return self._draw_other(name, border_profile)

    def _kinds(self) -> pd.DataFrame:
        return _without_names(kinds_table(self.experiment))

    def _probes(self) -> pd.DataFrame:
        return _without_names(probes_summary(self.experiment))


def _without_names(frame: pd.DataFrame) -> pd.DataFrame:
    """Labels say which variant it is."""
    return frame.drop(columns="variant") if "label" in frame else frame
