"""The report on errors: where the AP is lost, of boxes and of masks."""

from __future__ import annotations

import pandas as pd

from analysis.interventions.oracle.figures import oracle_budget
from analysis.interventions.oracle.read import budget, budget_answer, swaps
from analysis.measures.errors.figures import ap_by_iou, error_types
from analysis.measures.errors.read import IOU_TYPES, SPECIAL, boundary_table, error_table, largest_error
from analysis.measures.errors.read import TYPES as TYPE_WORDS
from analysis.measures.leakage.figures import leakage, localisation_failure, worst
from analysis.measures.leakage.read import RATES as RATE_WORDS
from analysis.measures.leakage.read import leakage_sentence, rates, spread
from analysis.report.pages.base import Page
from analysis.report.pages.pieces import Html
from analysis.tables.columns import Column
from experiments.store.metrics import METRICS

TYPES = (
    Column("label", "variant"),
    Column("iou_type", "of", words=IOU_TYPES),
    Column("fix", "error", words={name: f"{name}: {words}" for name, words in {**TYPE_WORDS, **SPECIAL}.items()}),
    Column("delta", "AP50 gained (points)", 1, sd="sd"),
    Column("count", "errors per network", 0),
    Column("n", "seeds"),
)
BOUNDARY = (
    Column("label", "variant"),
    Column("mask_AP", "mask AP (%)", 1, sd="mask_AP_sd"),
    Column("boundary_AP", "boundary AP (%)", 1, sd="boundary_AP_sd"),
    Column("lost", "lost at the boundary (points)", 1, sd="lost_sd"),
    Column("boundary_AP50", "boundary AP50 (%)", 1),
    Column("boundary_AP75", "boundary AP75 (%)", 1),
    Column("n", "seeds"),
)
BUDGET = (
    Column("label", "part"),
    Column("gain", "mask AP (points) [95 % interval]", 1, ends=("low", "high")),
    Column("sd", "± over seeds", 1),
    Column("share", "share of what masks lose (%)", 0, 100),
    Column("n", "seeds"),
)
SWAPS = (
    Column("label", "ground truth in the place of"),
    Column("metric", "metric"),
    Column("mean", "AP (%)", 1, sd="sd"),
    Column("change", "change (points) [95 % interval]", 1, ends=("low", "high"), change=True),
    Column("n", "seeds"),
)
SWAPS_NOTE = "Changes are against the same networks as predicted. * clearly: the interval excludes 0."
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


class ErrorsPage(Page):
    """TIDE's error types, AP by IoU threshold and at boundaries, and ground truth in the place of one part."""

    def largest(self) -> Html:
        """The type of error that costs the reference most."""
        return self.pieces.sentence(lambda: largest_error(self.experiment))

    def types(self) -> Html:
        return self._draw(lambda: error_types(self.experiment))

    def types_table(self) -> Html:
        title = "AP50 gained by fixing one type of error: means ± sample standard deviations over seeds"
        return self.pieces.frame("error_types", title, lambda: error_table(self.experiment), TYPES)

    def ap_by_iou(self) -> Html:
        return self._draw(lambda: ap_by_iou(self.experiment))

    def boundary(self) -> Html:
        title = "Boundary AP beside mask AP: means ± sample standard deviations over seeds"
        return self.pieces.frame("boundary", title, lambda: boundary_table(self.experiment), BOUNDARY)

    def oracle(self, name: str) -> Html:
        """What each part costs, from the experiment that puts ground truth in its place."""
        return self._draw_other(name, oracle_budget)

    def oracle_table(self, name: str) -> Html:
        title = "Where the mask AP is lost: means over seeds, intervals over images"
        return self.pieces.frame(name, title, lambda: budget(self.scale.experiment(name)), BUDGET)

    def swaps(self, name: str) -> Html:
        """AP of masks and of boxes with ground truth in the place of each part."""
        title = "AP with ground truth in the place of one part: means ± sample standard deviations over seeds"
        return self.pieces.frame(f"{name}_swaps", title, lambda: self._swaps(name), SWAPS, (SWAPS_NOTE,))

    def oracle_answer(self, name: str) -> Html:
        return self.pieces.sentence(lambda: budget_answer(self.scale.experiment(name)))

    def leakage_answer(self, name: str) -> Html:
        """Of the reference of the experiment that measured leakage."""
        return self.pieces.sentence(lambda: self._leakage_answer(name))

    def leakage(self, name: str) -> Html:
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

    def _leakage_answer(self, name: str) -> str:
        experiment = self.scale.experiment(name)
        return leakage_sentence(experiment, experiment.reference)

    def _swaps(self, name: str) -> pd.DataFrame:
        experiment = self.scale.experiment(name)
        frame = swaps(experiment, self.scale.summary(name))
        labels = frame["variant"].map(lambda variant: experiment.variant(variant).label)
        return frame.assign(label=labels, metric=frame["metric"].map(lambda metric: METRICS[metric].label))

    def _rates(self, name: str, by: str) -> pd.DataFrame:
        return rates(self.scale.experiment(name), by).astype({"bin": str})
