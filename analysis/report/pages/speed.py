"""The report on speed: what was timed how, where the time goes, and which accuracy it buys."""

from __future__ import annotations

import html
import math

import pandas as pd

from analysis import figures
from analysis.figures.latency import accuracy_metric
from analysis.figures.picture import Picture
from analysis.figures.speed import PROTOCOL, protocol, read_protocols, read_speeds
from analysis.figures.style import colours
from analysis.page.pieces import Html, box, hole
from analysis.report.pages.base import Page
from analysis.results.experiment import MissingResult
from analysis.tables import writers
from analysis.tables.layout import headline_tables


class SpeedPage(Page):
    """Latency by stage, and accuracy against latency with its Pareto front."""

    def protocol(self) -> Html:
        """The rules of the clock: a table for each set of rules that was used, with the variants timed by it."""
        try:
            found = read_protocols(self.experiment)
        except MissingResult as missing:
            return hole(f"No protocol: {missing}")
        tables = [self._protocol(own) for _, own in found.groupby(list(PROTOCOL), sort=False, dropna=False)]
        return Html("".join(tables) + self.pieces.csv("protocols", writers.csv(found)))

    def latency(self) -> Html:
        """Latency of every variant with its spread, and its change against the reference."""
        latency = {"latency_ms"} & set(self.table["metric"])
        if not latency:
            return hole("No latency: the experiment doesn't measure the speed")
        tables = headline_tables(self.experiment, self.table, ("latency_ms", "fps"))
        shown = "".join(writers.as_html(table, colours(self.experiment)) for table in tables)
        return Html(
            shown + self.pieces.csv("latency", writers.csv(self.table[self.table["metric"].isin(["latency_ms", "fps"])]))
        )

    def accuracy_against_latency(self) -> Html:
        return self._draw(self._against_latency)

    def beaten(self) -> Html:
        """Which variants another one beats in both accuracy and latency."""
        return self.pieces.frame("pareto", "Who is on the Pareto front, and who beats the others", self._beaten)

    def speed_by_stage(self) -> Html:
        return self._draw(lambda: figures.speed_by_stage(self.experiment))

    def stages_table(self) -> Html:
        """Milliseconds per stage of the network: mean over seeds of the medians."""
        return self.pieces.frame("stages", "Median time per image by stage of the network (ms)", self._stages)

    def _against_latency(self) -> Picture:
        return figures.accuracy_against_latency(self.experiment, self.table, protocol(self.experiment))

    def _beaten(self) -> pd.DataFrame:
        label = {variant.name: variant.label for variant in self.experiment.variants}
        found = self._against_latency().data.sort_values("latency_ms")
        metric = accuracy_metric(self.experiment)
        return pd.DataFrame({
            "variant": found["variant"].map(label),
            "latency (ms)": found["latency_ms"].round(self.experiment.metrics["latency_ms"].decimals),
            metric.heading: found[metric.name].round(metric.decimals),
            "on the front": found["on_front"].astype(object),
            "beaten in both by": found["beaten_by"].map(label),
        })  # fmt: skip

    def _stages(self) -> pd.DataFrame:
        frame = read_speeds(self.experiment)
        wide = frame.groupby(["variant", "section"], sort=False)["milliseconds"].mean().unstack()
        wide = wide.reindex([variant.name for variant in self.experiment.variants if variant.name in wide.index])
        wide = wide[list(dict.fromkeys(frame["section"]))].rename(columns={"total": "end to end"}).round(2)
        return wide.rename(index=lambda name: self.experiment.variant(str(name)).label).reset_index()

    def _protocol(self, own: pd.DataFrame) -> str:
        labels = dict.fromkeys(self.experiment.variant(name).label for name in own["variant"])
        sizes = ", ".join(dict.fromkeys(f"{size} px" for size in own["image_size"]))
        facts = {"variants": "; ".join(labels), **own.iloc[0][list(PROTOCOL)].to_dict(), "input": sizes}
        rows = [
            f'<tr><th scope="row">{_WORDS.get(name, name)}</th><td class="wrap">{html.escape(str(value))}</td></tr>'
            for name, value in facts.items()
            if not (value is None or (isinstance(value, float) and math.isnan(value)))
        ]
        return box("Protocol of the clock", ["protocol", ""], rows)


_WORDS = {
    "warmup": "images to warm up",
    "repeats": "images timed",
    "inside": "inside the clock",
    "outside": "outside the clock",
}
