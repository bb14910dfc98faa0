"""Ground truth in the place of one part, and noise on the coefficients."""

from __future__ import annotations

import pandas as pd

from analysis.interventions.oracle.figures import accuracy_against_noise, oracle_budget
from analysis.interventions.oracle.read import budget, budget_answer, swaps
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column
from experiments.store.metrics import METRICS

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


class OracleSection(Section):
    """What each part costs."""

    name = "oracle"

    def answer(self, name: str) -> Html:
        return self.pieces.sentence(lambda: budget_answer(self.scale.experiment(name)))

    def budget(self, name: str) -> Html:
        """What each part costs, from the experiment that puts ground truth in its place."""
        return self._draw_other(name, oracle_budget)

    def table(self, name: str) -> Html:
        title = "Where the mask AP is lost: means over seeds, intervals over images"
        return self.pieces.frame(name, title, lambda: budget(self.scale.experiment(name)), BUDGET)

    def swaps(self, name: str) -> Html:
        """AP of masks and of boxes with ground truth in the place of each part."""
        title = "AP with ground truth in the place of one part: means ± sample standard deviations over seeds"
        return self.pieces.frame(f"{name}_swaps", title, lambda: self._swaps(name), SWAPS, (SWAPS_NOTE,))

    def _swaps(self, name: str) -> pd.DataFrame:
        experiment = self.scale.experiment(name)
        frame = swaps(experiment, self.scale.summary(name))
        labels = frame["variant"].map(lambda variant: experiment.variant(variant).label)
        return frame.assign(label=labels, metric=frame["metric"].map(lambda metric: METRICS[metric].label))

    def noise(self, name: str) -> Html:
        """AP against noise on the coefficients, from the experiment that puts it there."""
        return self._draw_other(name, accuracy_against_noise)
