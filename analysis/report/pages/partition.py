"""The report on what prototypes respond to, and on whether they depend on place."""

from __future__ import annotations

from analysis.measures.probes.section import ProbesSection
from analysis.measures.responses.section import ResponsesSection
from analysis.report.pages.base import Page


class PartitionPage(Page):
    """Partition maps and kinds of prototypes, the paper's figure 5, and the sense of place by padding."""

    SECTIONS = (
        ResponsesSection,
        ProbesSection,
    )
