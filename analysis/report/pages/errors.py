"""The report on errors: where the AP is lost, of boxes and of masks."""

from __future__ import annotations

from analysis.interventions.oracle.section import OracleSection
from analysis.measures.errors.section import ErrorsSection
from analysis.measures.leakage.section import LeakageSection
from analysis.report.pages.base import Page


class ErrorsPage(Page):
    """TIDE's error types, AP by IoU threshold and at boundaries, and ground truth in the place of one part."""

    SECTIONS = (
        ErrorsSection,
        OracleSection,
        LeakageSection,
    )
