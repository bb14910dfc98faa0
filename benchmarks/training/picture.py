"""Figure of `python -m benchmarks training`: images per second of step and loader, and the parts of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.style import INK, OKABE_ITO, house_style, new_figure
from benchmarks.common.figures import stacked

Rows = Sequence[Mapping[str, Any]]
_TITLES = {"toy": "toy network, 128 px", "r50": "YOLACT-550, ResNet-50"}
_LOADER = "-loader"
_REST = "not told apart"


@house_style
def draw(rows: Rows, hardware: str) -> Figure:
    """A row of two panels for each network that was measured."""
    networks = list(dict.fromkeys(each["case"].removesuffix(_LOADER) for each in rows))
    figure = new_figure(0.6 + 2.6 * len(networks), width=11)
    panels = figure.subplots(len(networks), 2, squeeze=False)
    for (rates, parts), network in zip(panels, networks, strict=True):
        own = [each for each in rows if each["case"].removesuffix(_LOADER) == network]
        _rates(rates, own)
        rates.set_title(_TITLES.get(network, network), fontsize=9, loc="left")
        steps = {_name(each): _parts(each) for each in own if not each["case"].endswith(_LOADER)}
        if steps:
            stacked(parts, steps)
            parts.set_xlabel("median time of each part of a step (ms)")
        else:
            parts.set_visible(False)
    figure.suptitle(f"Training, threads: {rows[0]['threads']}; {hardware}", fontsize=9)
    return figure


def _rates(axes: Axes, rows: Rows) -> None:
    """Images per second with quartiles; behind, the number and the speed-up."""
    for place, each in enumerate(rows):
        low, middle, high = (each[f"images_per_s{end}"] for end in ("_p25", "", "_p75"))
        colour = OKABE_ITO[1 if each["case"].endswith(_LOADER) else 0]
        axes.barh(place, middle, 0.7, xerr=[[middle - low], [high - middle]], color=colour, ecolor=INK)
        axes.annotate(f" {middle:.3g}, {each['speedup']:.2f} ×", (high, place), va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [_name(each) for each in rows])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.3)
    axes.set(xlabel="images per second (median and quartiles); behind, how many times the first of its colour")
    axes.set_xlim(left=0)
    axes.grid(axis="x")


def _name(row: Mapping[str, Any]) -> str:
    code = {"this": "this code", "other": "the other"}[row["code"]]
    return f"{code}, {'loader' if row['case'].endswith(_LOADER) else row['precision']}"


def _parts(row: Mapping[str, Any]) -> dict[str, float]:
    """{part: milliseconds}; the whole step as one where its log doesn't tell parts apart."""
    parts = {name: row[f"{name}_ms"] for name in ("transfer", "forward", "backward", "optimiser") if f"{name}_ms" in row}
    return parts or {_REST: row["median_ms"]}
