"""Where masks spill and where they fail."""

from __future__ import annotations

import pandas as pd

from analysis.measures.leakage.figures import leakage, localisation_failure, worst
from analysis.measures.leakage.read import RATES as RATE_WORDS
from analysis.measures.leakage.read import leakage_sentence, rates, spread
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

RATES = (
    Column("label", "variant"),
    Column("rate", "failure", words=RATE_WORDS),
    Column("value", "% of objects [95 % interval]", 1, ends=("low", "high")),
    Column("objects", "objects"),
)
SPREAD = (
    Column("label", "variant"),
    Column("bin", "size"),
    Column("leak_same", "same class (%)", 1),
    Column("leak_other", "other classes (%)", 1),
    Column("leak_background", "background (%)", 1),
    Column("spill", "cut off (%)", 1),
    Column("mask_iou", "mask IoU", 3),
    Column("uncropped_iou", "mask IoU, uncropped", 3),
    Column("objects", "objects"),
)
SPREAD_NOTE = (
    "Percentages of the mask's pixels that lie on others of the object's class, on other classes and on the background; cut "
    "off: of the pixels that the mask has without the crop, those outside its box."
)
BY = {
    "size": "size",
    "neighbours": "touching neighbours of its class",
    "overlap": "largest box IoU with a neighbour of its class",
}


class LeakageSection(Section):
    """What masks contain beside their object."""

    name = "leakage"

    def answer(self, name: str) -> Html:
        """Of the reference of the experiment that measured leakage."""
        return self.pieces.sentence(lambda: self._answer(name))

    def crowding(self, name: str) -> Html:
        return self._draw_other(name, leakage)

    def localisation_failure(self, name: str) -> Html:
        return self._draw_other(name, localisation_failure)

    def rates(self, name: str, by: str) -> Html:
        """How often objects fail, by size, crowding or overlap.

        Args:
            by: one of `analysis.measures.leakage.read.BINS`.
        """
        title = f"How often objects fail, by {BY[by]}: all seeds together"
        heading = Column("bin", BY[by])
        return self.pieces.frame(f"failures_by_{by}", title, lambda: self._rates(name, by), (RATES[0], heading, *RATES[1:]))

    def spread(self, name: str) -> Html:
        """What masks hold beside their objects, by size."""
        title = "What masks hold beside the objects found, by size: means over the objects of all seeds"
        return self.pieces.frame("leakage", title, lambda: spread(self.scale.experiment(name)), SPREAD, (SPREAD_NOTE,))

    def worst(self, name: str, case: str) -> Html:
        """The worst objects of the reference.

        Args:
            case: one of `analysis.measures.leakage.figures.SORTS`.
        """
        return self._draw_other(name, lambda it: worst(it, it.reference, case))

    def _answer(self, name: str) -> str:
        experiment = self.scale.experiment(name)
        return leakage_sentence(experiment, experiment.reference)

    def _rates(self, name: str, by: str) -> pd.DataFrame:
        return rates(self.scale.experiment(name), by).astype({"bin": str})
