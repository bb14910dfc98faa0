"""The report on any experiment: how its variants compare."""

from __future__ import annotations

from analysis import figures
from analysis.figures.speed import protocol
from analysis.figures.style import colours
from analysis.measures.prototypes.figures import best_prototype_variant, prototypes
from analysis.page.pieces import Html
from analysis.report.pages.base import Page
from analysis.tables import tidy as tables
from analysis.tables import writers
from analysis.tables.layout import detail_tables, headline_tables


class AblationPage(Page):
    """Tables with spread and changes, accuracy, training, speed and prototypes."""

    def tables(self) -> Html:
        """A table per headline metric, and the other metrics folded away; table.csv and table.md hold them too."""
        headline, details = headline_tables(self.experiment, self.table), detail_tables(self.experiment, self.table)
        links = ""
        if self.output is not None:
            (self.output / "table.csv").write_text(writers.summary_csv(self.experiment, self.table), encoding="utf-8")
            text = "\n".join(writers.markdown(table) for table in (*headline, *details))
            (self.output / "table.md").write_text(text, encoding="utf-8")
            links = '<p class="files"><a href="table.csv" download>CSV</a><a href="table.md" download>Markdown</a></p>'
        shades = colours(self.experiment)
        shown = "".join(writers.as_html(table, shades) for table in headline)
        others = "".join(writers.as_html(table, shades) for table in details)
        more = f"<details><summary>All other metrics</summary>{others}</details>"
        return Html(f"{shown}{links}{more}")

    def accuracy(self) -> Html:
        return self._draw(lambda: figures.accuracy(self.experiment, self.table, self.numbers))

    def losses(self) -> Html:
        return self._draw(lambda: figures.losses(self.experiment))

    def precision_recall(self) -> Html:
        """Of the best variant, beside the reference."""
        return self._draw(lambda: figures.precision_recall(self.experiment, self._best_and_reference()))

    def accuracy_by_size(self) -> Html:
        return self._draw(lambda: figures.accuracy_by_size(self.experiment, self.table))

    def accuracy_against_latency(self) -> Html:
        return self._draw(lambda: figures.accuracy_against_latency(self.experiment, self.table, protocol(self.experiment)))

    def speed_by_stage(self) -> Html:
        return self._draw(lambda: figures.speed_by_stage(self.experiment))

    def prototypes(self) -> Html:
        """Of the variant with the best mask AP that has prototypes."""
        return self._draw(lambda: prototypes(self.experiment, best_prototype_variant(self.experiment, self.table)))

    def _best_and_reference(self) -> tuple[str, str]:
        return tables.best_variant(self.experiment, self.table).name, self.experiment.reference
