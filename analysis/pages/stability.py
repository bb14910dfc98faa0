"""The report on stability: how steady masks are from frame to frame."""

from __future__ import annotations

import pandas as pd

from analysis.figures.stability import consecutive_iou, film_strip, flicker
from analysis.pages.base import Page
from analysis.pages.pieces import Html
from analysis.stability import stability_table, steadiest, steadiness


class StabilityPage(Page):
    """Agreement of successive frames with motion taken out, flicker, and the frames themselves."""

    def steadiest(self) -> Html:
        """Which networks' masks are steadier than the reference's."""
        return self.pieces.sentence(lambda: steadiest(self.experiment))

    def film(self) -> Html:
        return self._draw(lambda: film_strip(self.experiment))

    def consecutive_iou(self) -> Html:
        return self._draw(lambda: consecutive_iou(self.experiment))

    def steadiness(self) -> Html:
        """Against the reference, over the objects and frames in which both found it."""
        return self.pieces.frame("steadiness", "Mask IoU of successive frames against the reference's", self._steadiness)

    def flicker(self) -> Html:
        return self._draw(lambda: flicker(self.experiment))

    def measures(self) -> Html:
        return self.pieces.frame("stability", "Every measure of steadiness", self._measures)

    def _steadiness(self) -> pd.DataFrame:
        return steadiness(self.experiment).drop(columns="variant")

    def _measures(self) -> pd.DataFrame:
        return stability_table(self.experiment).drop(columns=["variant", "measure"])
