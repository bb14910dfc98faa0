"""How prototypes look and how they make a mask."""

from __future__ import annotations

import html
from functools import partial

from analysis.measures.prototypes.strips import assembly_strip, prototype_sheet
from analysis.measures.prototypes.use import prototype_statistics
from analysis.page.pieces import Html, hole
from analysis.page.section import Section
from analysis.results.experiment import MissingResult
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


class PrototypesSection(Section):
    """Prototypes of one network after the other."""

    name = "prototypes"

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
        return self._draw(lambda: prototype_sheet(self.experiment, self._variant(variant), images=images))

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
        return self._draw(lambda: assembly_strip(self.experiment, self._variant(variant), instance=instance, terms=terms))

    def statistics(self, variant: str = "") -> Html:
        """Use of every prototype over the kept images."""
        return self.pieces.frame(
            "prototypes",
            "Use of each prototype over the kept images of one seed",
            lambda: prototype_statistics(self.experiment, self._variant(variant)),
            STATISTICS,
        )

    def _kept(self, variant: str) -> bool:
        try:
            prototype_statistics(self.experiment, variant)
        except MissingResult:
            return False
        return True
