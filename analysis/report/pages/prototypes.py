"""The report on prototypes: how they look, how they make a mask, how much they repeat each other, what coefficients do."""

from __future__ import annotations

import html
from functools import partial

from analysis.gallery import prototype_statistics
from analysis.interventions.compression.figures import accuracy_against_m
from analysis.interventions.compression.read import compression_answer
from analysis.interventions.oracle.figures import accuracy_against_noise
from analysis.measures.coefficients.figures import coefficient_distributions, coefficients_answer, oracle_scatter, subtraction
from analysis.measures.coefficients.read import sign_use
from analysis.measures.prototypes.strips import assembly_strip, prototype_sheet
from analysis.measures.redundancy.figures import correlations, spectrum, use_per_class
from analysis.measures.redundancy.read import NUMBERS, redundancy_summary
from analysis.report.pages.base import Page
from analysis.report.pages.pieces import Html, hole
from analysis.results.experiment import MissingResult
from analysis.tables import tidy as tables
from analysis.tables.columns import Column

STATISTICS = (
    Column("prototype", "prototype"),
    Column("use", "use (logits)", 3),
    Column("coefficient", "mean |coefficient|", 2),
    Column("positive", "coefficient above 0 (% of instances)", 0, 100),
    Column("first", "counts most (% of instances)", 0, 100),
    Column("activation", "mean |activation|", 3),
    Column("lowest", "lowest activation", 2),
    Column("highest", "highest activation", 2),
    Column("silent", "silent (% of images)", 0, 100),
)
REDUNDANCY = (
    Column("label", "variant"),
    Column("number", "number of", words=NUMBERS),
    Column("mean", "mean", 1, sd="sd"),
    Column("n", "seeds"),
)
SIGNS = (
    Column("class", "class"),
    Column("seed", "seed"),
    Column("detections", "detections"),
    Column("negative", "coefficients below 0 (%)", 0, 100),
    Column("subtracted", "of |coefficient| × activation, subtracted (%)", 0, 100),
)


class PrototypesPage(Page):
    """Prototypes of one network after the other; where a variant is asked for, "" is the reference."""

    def gallery(self) -> Html:
        """A link to the gallery of every kept image, which `yolact gallery` makes."""
        name, scale = self.experiment.name, self.experiment.scale
        folder = f"{name}-{scale}-gallery"
        if not (self.experiment.store.report_folder(folder) / "index.html").is_file():
            return hole(f"No gallery: yolact gallery {name} --scale {scale} makes it")
        return Html(
            f'<p><a href="../{html.escape(folder)}/index.html">The gallery: every kept image with its prototypes</a></p>'
        )

    def sheet(self, variant: str = "", images: int = 6) -> Html:
        return self._draw(lambda: prototype_sheet(self.experiment, variant or None, images=images))

    def sheet_of_others(self, images: int = 3) -> Html:
        """The prototypes of every variant but the reference, such as the untrained network."""
        names = [name for name in self.experiment.colour_order[1:] if self._kept(name)]
        if not names:
            return hole("Nothing to draw: no other variant's prototypes were kept")
        drawn = [
            self.pieces.picture(partial(prototype_sheet, self.experiment, name, images=images), f"{name}-").source
            for name in names
        ]
        return Html("".join(drawn))

    def strip(self, variant: str = "", instance: int = 0, terms: int = 4) -> Html:
        return self._draw(lambda: assembly_strip(self.experiment, variant or None, instance=instance, terms=terms))

    def statistics(self, variant: str = "") -> Html:
        """Use of every prototype over the kept images."""
        return self.pieces.frame(
            "prototypes",
            "Use of each prototype over the kept images of one seed",
            lambda: prototype_statistics(self.experiment, variant or None),
            STATISTICS,
        )

    def redundancy(self) -> Html:
        """Effective rank and correlation per variant."""
        title = "How much the prototypes repeat each other: means ± sample standard deviations over seeds"
        return self.pieces.frame("redundancy", title, lambda: redundancy_summary(self.experiment), REDUNDANCY)

    def correlations(self) -> Html:
        return self._draw(lambda: correlations(self.experiment))

    def spectrum(self) -> Html:
        return self._draw(lambda: spectrum(self.experiment))

    def use_per_class(self, variant: str = "") -> Html:
        return self._draw(lambda: use_per_class(self.experiment, variant or None))

    def compression(self, name: str) -> Html:
        """AP with fewer prototypes, from the experiment that asks for it."""
        return self._draw_other(name, lambda it: accuracy_against_m(it, self.scale.summary(name)))

    def compression_answer(self, name: str) -> Html:
        return self.pieces.sentence(lambda: self._compression_answer(name))

    def coefficients_answer(self, variant: str = "") -> Html:
        return self.pieces.sentence(lambda: coefficients_answer(self.experiment, variant or self.experiment.reference))

    def coefficients(self, variant: str = "") -> Html:
        return self._draw(lambda: coefficient_distributions(self.experiment, variant or self.experiment.reference))

    def subtraction(self) -> Html:
        return self._draw(lambda: subtraction(self.experiment))

    def sign_use(self, variant: str = "") -> Html:
        """How often coefficients are negative, and how much that subtracts, by class."""
        name = variant or self.experiment.reference
        title = f"Use of the sign by the detections of {self.experiment.variant(name).label} that find an object"
        return self.pieces.frame("sign_use", title, lambda: sign_use(self.experiment, name), SIGNS)

    def best_coefficients(self, variant: str = "") -> Html:
        return self._draw(lambda: oracle_scatter(self.experiment, variant or self.experiment.reference))

    def noise(self, name: str) -> Html:
        """AP against noise on the coefficients, from the experiment that puts it there."""
        return self._draw_other(name, accuracy_against_noise)

    def _compression_answer(self, name: str) -> str:
        experiment = self.scale.experiment(name)
        return compression_answer(experiment, tables.tidy(experiment))

    def _kept(self, variant: str) -> bool:
        try:
            prototype_statistics(self.experiment, variant)
        except MissingResult:
            return False
        return True
