"""The report on stability: how steady masks are from frame to frame."""

from __future__ import annotations

from analysis.measures.stability.section import StabilitySection
from analysis.report.pages.base import Page


class StabilityPage(Page):
    """Agreement of successive frames with motion taken out, flicker, and the frames themselves."""

    SECTIONS = (StabilitySection,)
