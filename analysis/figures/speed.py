"""Where the time goes: latency by stage of the network."""

from __future__ import annotations

from typing import Any

import matplotlib
import pandas as pd

from analysis.figures.picture import Picture
from analysis.figures.style import GROUND, INK, house_style, label_rows, legend, new_figure, seeds
from analysis.results.experiment import Experiment, every


def read_speeds(experiment: Experiment) -> pd.DataFrame:
    """Medians of every speed stage: columns variant, seed, section, milliseconds; section `total` is the end-to-end latency.

    Raises:
        MissingResult: no speed was measured.
    """
    rows = [
        (variant, seed, section, times["median"])
        for variant, seed, found in every(experiment, _read, "no speed was measured")
        for section, times in {**found["stages_ms"], "total": found["latency_ms"]}.items()
    ]
    return pd.DataFrame(rows, columns=["variant", "seed", "section", "milliseconds"])


PROTOCOL = ("device", "threads", "precision", "batch", "warmup", "repeats", "inside", "outside", "clock")
"""What of a protocol must agree for two latencies to be compared."""


def read_protocols(experiment: Experiment) -> pd.DataFrame:
    """The protocol of every speed stage: columns variant, seed, those of `PROTOCOL`, image_size; lists as text.

    Raises:
        MissingResult: no speed was measured.
    """
    rows = []
    for variant, seed, found in every(experiment, _read, "no speed was measured"):
        values = {name: found["protocol"].get(name) for name in (*PROTOCOL, "image_size")}
        texts = {name: ", ".join(map(str, value)) for name, value in values.items() if isinstance(value, list)}
        rows.append({"variant": variant, "seed": seed, **values, **texts})
    return pd.DataFrame(rows)


def _read(experiment: Experiment, variant: str, seed: int) -> dict[str, Any]:
    return experiment.read(variant, seed, "speed", "speed.json")


def protocol(experiment: Experiment) -> str:
    """Hardware and protocol of the speed measurements in words.

    Raises:
        MissingResult: no speed was measured.
    """
    said = [
        f"{row.device}, {_threads(row.threads)}, {row.precision}, batch {row.batch}, {row.repeats} images after "
        f"{row.warmup} to warm up"
        for row in read_protocols(experiment).itertuples()
    ]
    return " and ".join(dict.fromkeys(said))


def _threads(number: int) -> str:
    return "1 thread" if number == 1 else f"{number} threads"


@house_style
def speed_by_stage(experiment: Experiment) -> Picture:
    """Median time per stage of the network, stacked, beside the latency of the whole.

    Raises:
        MissingResult: no speed was measured.
    """
    frame = read_speeds(experiment)
    mean = frame.groupby(["variant", "section"], sort=False)["milliseconds"].mean().unstack()
    sections = [section for section in dict.fromkeys(frame["section"]) if section != "total"]
    names = [variant.name for variant in experiment.variants if variant.name in mean.index]
    figure = new_figure(1.4 + 0.42 * len(names))
    axes = figure.subplots()
    shades = matplotlib.colormaps["cividis"]
    start = pd.Series(0.0, index=names)
    for index, section in enumerate(sections):
        widths = mean[section].reindex(names).fillna(0)
        shade = shades(0.12 + 0.88 * index / max(1, len(sections) - 1))
        axes.barh(range(len(names)), widths, left=start, height=0.55, color=shade, edgecolor=GROUND, linewidth=0.8,
                  label=section)  # fmt: skip
        start += widths
    totals = frame[frame["section"] == "total"].groupby("variant")["milliseconds"]
    axes.plot(totals.mean().reindex(names), range(len(names)), "D", color=GROUND, markeredgecolor=INK, markersize=6,
              label="end to end", linestyle="")  # fmt: skip
    label_rows(axes, experiment, names)
    axes.set(xlabel="time per image (ms)")
    axes.set_xlim(left=0)
    legend(figure, *axes.get_legend_handles_labels())
    caption = (
        f"Median time per image by stage of the network, mean over trained networks ({_seeds(frame)}), scale "
        f"{experiment.scale}. The diamond is the latency end to end, measured apart, without the clock inside. Measured on "
        f"{protocol(experiment)}."
    )
    alt = "Latency end to end: " + ", ".join(f"{name} {value:.1f} ms" for name, value in totals.mean().items())
    return Picture("speed_by_stage", figure, caption, alt, frame)


def _seeds(frame: pd.DataFrame) -> str:
    return seeds(frame.groupby("variant")["seed"].nunique())
