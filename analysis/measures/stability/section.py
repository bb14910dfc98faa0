"""How steady masks are from frame to frame."""

from __future__ import annotations

from analysis.measures.stability.figures import consecutive_iou, film_strip, flicker
from analysis.measures.stability.read import stability_table, steadiest, steadiness
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column

STEADINESS = (
    Column("label", "variant"),
    Column("own", "its mask IoU", 3),
    Column("reference", "the reference's", 3),
    Column("change", "change [95 % interval]", 3, ends=("low", "high"), change=True),
    Column("method", "interval over", words={"images of one seed": "sequences of ONE seed", "none": "–"}),
    Column("count", "pairs of frames"),
    Column("n", "seeds"),
)
CLEAR_NOTE = "* the interval excludes 0; over a single seed it doesn't contain the variance between trainings."
MEASURES = (
    Column("name", "measure"),
    Column("unit", "unit"),
    Column("label", "variant"),
    Column("mean", "mean [95 % interval]", ends=("low", "high")),
    Column("sd", "± over seeds"),
    Column("count", "averaged"),
    Column("n", "seeds"),
)


class StabilitySection(Section):
    """Agreement of successive frames with motion taken out, flicker, and the frames themselves."""

    name = "stability"

    def steadiest(self) -> Html:
        """Which networks' masks are steadier than the reference's."""
        return self.pieces.sentence(lambda: steadiest(self.experiment))

    def film(self) -> Html:
        return self._draw(lambda: film_strip(self.experiment))

    def consecutive_iou(self) -> Html:
        return self._draw(lambda: consecutive_iou(self.experiment))

    def steadiness(self) -> Html:
        """Against the reference, over the objects and frames in which both found it."""
        title = "Mask IoU of successive frames against the reference's"
        return self.pieces.frame("steadiness", title, lambda: steadiness(self.experiment), STEADINESS, (CLEAR_NOTE,))

    def flicker(self) -> Html:
        return self._draw(lambda: flicker(self.experiment))

    def measures(self) -> Html:
        title = "Every measure of steadiness: means over seeds, intervals over sequences"
        return self.pieces.frame("stability", title, lambda: stability_table(self.experiment), MEASURES)
