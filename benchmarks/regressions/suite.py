"""What forking workers and sharing forward passes saves in a suite: the same stages cold and as `yolact run` does them.

Claim: a toy suite takes at most two thirds of what it took with one process per stage. Cold, each stage's process starts from
nothing and looks at the images itself; now, workers are forked from a process that has imported torch, and predictions that
differ after the network alone share its forward pass. Training and evaluation are the same code on both sides, so what they
have gained by themselves is not in the ratio. A fixed spec (`benchmarks/regressions/suite_run.py`): three short trainings, nine
variants that need none, three kinds of measurement.

The two ways alternate, in an order that is reversed in every other round. Each run has a results folder and a launcher process
of its own; processor time is that of the launcher and of all it started. Data sets are generated before the clock starts. Every
result but speed.json is compared, byte for byte, between all runs. To reproduce, ten minutes on two idle cores:

    python -m benchmarks suite --out results/reference/cpu

Writes suite.csv and suite.png. Columns: `round`, `way` (cold, now), `processor_s`, `wall_s`, `stages`, `shared` (stages that
shared a forward pass), `<kind>_s`: what the stages of a kind say they took, and `processor_of_cold`, `wall_of_cold`: the share
of the time of the cold run in the same round."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from analysis.figures.style import house_style, new_figure
from benchmarks import ROOT
from benchmarks.common.figures import grouped
from benchmarks.common.results import write_results
from benchmarks.common.timing import in_order
from benchmarks.common.timing import row as times_of
from benchmarks.regressions import suite_run
from experiments.datasets.find import find_dataset
from experiments.store.folder import Store

WAYS = ("cold", "now")
TIMES = {"processor": "processor time", "wall": "wall clock"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the suite in every round and way; print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way")
    parser.add_argument("--iterations", type=int, default=30, help="of each training")
    parser.add_argument("--images", type=int, default=60, help="in the evaluated split")
    parser.add_argument("--out", type=Path, help="folder for the table and the figure")
    options = parser.parse_args(arguments)
    rows = beside(measure(options.rounds, options.iterations, options.images))
    print(summary(rows))
    write_results(options.out, "suite", [{**row, "threads": 1} for row in rows], draw)


def measure(rounds: int, iterations: int, images: int) -> list[dict[str, Any]]:
    """A row per run.

    Raises:
        RuntimeError: a stage wasn't done, or two runs gave different bytes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite_run.write(folder, train=max(64, iterations), test=images)
        made: dict[str, str] = {}
        for number in range(rounds):
            for way in in_order(WAYS, number):
                results = folder / f"{way}-{number}"
                row = {"round": number, "way": way, **_timed(way, folder, results, iterations), **_described(Store(results))}
                rows.append(row)
                print(f"{way}: {row['processor_s']} s of processor time, {row['wall_s']} s of wall clock", flush=True)
                _compare(made, _digests(Store(results)))
    return rows


def beside(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, `now` with its shares of what the cold run of the same round took."""
    cold = {row["round"]: row for row in rows if row["way"] == "cold"}
    return [
        row | {f"{what}_of_cold": round(row[f"{what}_s"] / cold[row["round"]][f"{what}_s"], 4) for what in TIMES}
        if row["way"] == "now"
        else row
        for row in rows
    ]


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The medians of the rounds' shares, in words."""
    parts = []
    for what, words in TIMES.items():
        shares = [row[f"{what}_of_cold"] for row in rows if row["way"] == "now"]
        parts.append(f"{words}: {statistics.median(shares):.3f} of cold ({min(shares):.3f} to {max(shares):.3f})")
    return "; ".join(parts) + f"; all bytes equal in {len(rows)} runs"


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """Both ways beside each other, by processor time and by the wall's clock."""
    shown: list[dict[str, Any]] = []
    for what, words in TIMES.items():
        samples = {way: [1000 * row[f"{what}_s"] for row in rows if row["way"] == way] for way in WAYS}
        faster = statistics.median(1 / row[f"{what}_of_cold"] for row in rows if row["way"] == "now")
        shown += [
            {"of": words, "way": way, **times_of(samples[way]), **({"ratio": faster} if way == "now" else {})} for way in WAYS
        ]
    figure = new_figure(2.4)
    axes = figure.subplots()
    grouped(axes, shown, "of", "way", unit="s")
    figure.suptitle(f"{rows[0]['stages']} stages on two cores; {hardware}", fontsize=9)
    return figure


def _timed(way: str, folder: Path, results: Path, iterations: int) -> dict[str, float]:
    find_dataset(str(folder / suite_run.DATA_FILE)).ensure(results / "data")
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, "-m", suite_run.__name__, way, str(folder), str(results), str(iterations)]
    if subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode:
        raise RuntimeError(f"{way}: not all stages are done")
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"processor_s": round(used, 2), "wall_s": round(wall, 2)}


def _described(store: Store) -> dict[str, Any]:
    views = store.records()
    seconds: Counter[str] = Counter()
    for view in views:
        seconds[f"{view.kind}_s"] += view.status.wall_seconds or 0.0
    shared = sum((view.status.shared or {}).get("stages", 1) > 1 for view in views)
    return {"stages": len(views), "shared": shared, **{kind: round(value, 2) for kind, value in sorted(seconds.items())}}


def _digests(store: Store) -> dict[str, str]:
    """Of every file of every result that is the same each time."""
    views = [view for view in store.records() if view.kind != "speed"]
    return {f"{view.id}/{name}": digest for view in views for name, digest in view.status.digests.items()}


def _compare(made: dict[str, str], found: dict[str, str]) -> None:
    """Against the first run, whose digests `made` keeps."""
    if not made:
        made.update(found)
    if made != found:
        different = sorted(name for name in {**made, **found} if made.get(name) != found.get(name))
        raise RuntimeError(f"bytes differ between runs: {', '.join(different)}")
