"""TIDE's error types, AP by IoU threshold and at boundaries."""

from __future__ import annotations

from analysis.measures.errors.figures import ap_by_iou, error_types
from analysis.measures.errors.read import IOU_TYPES, SPECIAL, boundary_table, error_table, largest_error
from analysis.page.pieces import Html
from analysis.page.section import Section
from analysis.tables.columns import Column
from yolact.measures.errors import FIXES

TYPES = (
    Column("label", "variant"),
    Column("iou_type", "of", words=IOU_TYPES),
    Column("fix", "error", words={name: f"{name}: {words}" for name, words in {**FIXES, **SPECIAL}.items()}),
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


class ErrorsSection(Section):
    """Where the AP is lost."""

    name = "errors"

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
