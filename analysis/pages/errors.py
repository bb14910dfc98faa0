"""The report on errors: where the AP is lost, of boxes and of masks."""

from __future__ import annotations

import pandas as pd

from analysis.errors import boundary_table, error_table, largest_error
from analysis.figures.errors import ap_by_iou, error_types
from analysis.figures.leakage import leakage, localisation_failure, worst
from analysis.figures.oracle import oracle_budget
from analysis.leakage import leakage_sentence
from analysis.oracle import budget, budget_answer
from analysis.pages.base import Page
from analysis.pages.pieces import Html


class ErrorsPage(Page):
    """TIDE's error types, AP by IoU threshold and at boundaries, and ground truth in the place of one part."""

    def largest(self) -> Html:
        """The type of error that costs the reference most."""
        return self.pieces.sentence(lambda: largest_error(self.experiment))

    def types(self) -> Html:
        return self._draw(lambda: error_types(self.experiment))

    def types_table(self) -> Html:
        return self.pieces.frame("error_types", "AP50 gained by fixing one type of error (points)", self._types)

    def ap_by_iou(self) -> Html:
        return self._draw(lambda: ap_by_iou(self.experiment))

    def boundary(self) -> Html:
        return self.pieces.frame("boundary", "Boundary AP beside mask AP (%)", self._boundary)

    def oracle(self, name: str) -> Html:
        """What each part costs, from the experiment that puts ground truth in its place."""
        return self._draw_other(name, oracle_budget)

    def oracle_table(self, name: str) -> Html:
        return self.pieces.frame(name, "Where the mask AP is lost (points)", lambda: self._oracle(name))

    def oracle_answer(self, name: str) -> Html:
        return self.pieces.sentence(lambda: budget_answer(self.scale.experiment(name)))

    def leakage_answer(self, name: str) -> Html:
        """Of the reference of the experiment that measured leakage."""
        return self.pieces.sentence(lambda: self._leakage_answer(name))

    def leakage(self, name: str) -> Html:
        return self._draw_other(name, leakage)

    def localisation_failure(self, name: str) -> Html:
        return self._draw_other(name, localisation_failure)

    def worst(self, name: str, case: str) -> Html:
        """The worst objects of the reference.

        Args:
            case: one of `analysis.figures.leakage.SORTS`.
        """
        return self._draw_other(name, lambda it: worst(it, it.reference, case))

    def _leakage_answer(self, name: str) -> str:
        experiment = self.scale.experiment(name)
        return leakage_sentence(experiment, experiment.reference)

    def _types(self) -> pd.DataFrame:
        return error_table(self.experiment).drop(columns="variant")

    def _boundary(self) -> pd.DataFrame:
        return boundary_table(self.experiment).drop(columns="variant")

    def _oracle(self, name: str) -> pd.DataFrame:
        return budget(self.scale.experiment(name)).drop(columns="part")
