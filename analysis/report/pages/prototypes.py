"""The report on prototypes: how they look, how they make a mask, how much they repeat each other, what coefficients do."""

from __future__ import annotations

from analysis.interventions.compression.section import CompressionSection
from analysis.interventions.oracle.section import OracleSection
from analysis.measures.coefficients.section import CoefficientsSection
from analysis.measures.prototypes.section import PrototypesSection
from analysis.measures.redundancy.section import RedundancySection
from analysis.report.pages.base import Page


class PrototypesPage(Page):
    """Prototypes, their redundancy, and their coefficients."""

    SECTIONS = (
        PrototypesSection,
        RedundancySection,
        CompressionSection,
        CoefficientsSection,
        OracleSection,
    )
