"""What forking workers and sharing forward passes saves in a suite: the same stages cold and as `yolact run` does them.

Claim: a toy suite takes at most two thirds of what it took with one process per stage. Cold, each stage's process starts from
nothing and looks at the images itself; now, workers are forked from a process that has imported torch, and predictions that
differ after the network alone share its forward pass. Training and evaluation are the same code on both sides, so what they
have gained by themselves is not in the ratio. A fixed spec, below: three short trainings, nine variants that need none, three
kinds of measurement.

The ways take turns, in an order that alternates between rounds. Each run has a results folder and a launcher process of its
own; processor time is that of the launcher and of all it started. Data sets are generated before the clock starts. Every result
but speed.json is compared, byte for byte, between all runs. To reproduce, ten minutes on two idle cores:

    python benchmarks/suite.py --out results/reference/cpu/suite.csv

Columns: `round`, `way` (cold, now), `processor_s`, `wall_s`, `stages`, `shared` (stages that shared a forward pass), and
`<kind>_s`: what the stages of a kind say they took.
"""

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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from experiments.datasets import find_dataset
from experiments.launch.pool import Pool
from experiments.plan import DataInfo, Plan, build_plan
from experiments.resolve import parse_setting
from experiments.spec import load_scale, load_spec
from experiments.store import Store

WAYS = ("cold", "now")
SPEC = """\
title: the suite's benchmark
question: What do processes and forward passes cost that could be shared?
preset: yolact_base
reference: base
measure: [coco, speed, prototypes]
variants:
  base: {}
  fc-mask: {set: {model.mask_branch.kind: fc_mask}}
  one-prototype: {set: {model.mask_branch.k: 1}}
  standard: {set: {inference.suppression: standard}}
  cross-class: {set: {inference.suppression: cross_class}}
  uncropped: {set: {inference.crop: false}}
  boxes: {set: {inference.masks: false}}
  noise: {set: {inference.intervention: {kind: noise, std: 0.2}}}
  keep-4: {set: {inference.intervention: {kind: keep, m: 4}}}
  project-4: {set: {inference.intervention: {kind: project, m: 4}}}
  oracle-masks: {set: {inference.intervention: {kind: oracle, part: masks}}}
  reflect: {set: {inference.intervention: {kind: padding, mode: reflect}}}
"""
DATA = "kind: shapes\nname: suite\nshapes: {{train: {train}, val: 1, test: {test}}}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs of each way")
    parser.add_argument("--iterations", type=int, default=30, help="of each training")
    parser.add_argument("--images", type=int, default=60, help="in the evaluated split")
    parser.add_argument("--out", type=Path, help="CSV to write")
    options = parser.parse_args()
    rows = measure(options.rounds, options.iterations, options.images)
    print(summary(rows))
    if options.out:
        from benchmarks.timing import write_csv

        write_csv(options.out, rows)


def measure(rounds: int, iterations: int, images: int) -> list[dict[str, Any]]:
    """A row per run.

    Raises:
        RuntimeError: a stage wasn't done, or two runs gave different bytes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "suite.yaml").write_text(SPEC)
        (folder / "data.yaml").write_text(DATA.format(train=max(64, iterations), test=images))
        made: dict[str, str] = {}
        for turn in range(rounds):
            for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                results = folder / f"{way}-{turn}"
                row = {"round": turn, "way": way, **_timed(way, folder, results, iterations), **_described(Store(results))}
                rows.append(row)
                print(f"{way}: {row['processor_s']} s of processor time, {row['wall_s']} s of wall clock", flush=True)
                _compare(made, _digests(Store(results)))
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """The medians of the rounds' ratios, in words."""
    parts = []
    for what in ("processor_s", "wall_s"):
        times = {way: [row[what] for row in sorted(rows, key=lambda row: row["round"]) if row["way"] == way] for way in WAYS}
        ratios = [now / cold for cold, now in zip(times["cold"], times["now"], strict=True)]
        parts.append(f"{what}: {statistics.median(ratios):.3f} of cold ({min(ratios):.3f} to {max(ratios):.3f})")
    return "; ".join(parts) + f"; all bytes equal in {len(rows)} runs"


def run(way: str, folder: Path, results: Path, iterations: int) -> int:
    """What the launcher's process does; returns its exit status."""
    plan = _plan(folder, iterations)
    pool = Pool(cores=2, warm=way == "now")
    return pool.run(plan, set(plan.stages), Store(results), lambda event: None).exit_status


def _plan(folder: Path, iterations: int) -> Plan:
    place = str(folder / "data.yaml")
    dataset = find_dataset(place)
    data = DataInfo(dataset.name, dataset.id, dataset.splits)
    settings = [parse_setting(f"training.iterations={iterations}"), parse_setting("speed.repeats=10")]
    spec, scale = load_spec(str(folder / "suite.yaml")), load_scale("toy")
    return build_plan(spec, scale, data, location=place, settings=settings, seeds=(0,))


def _timed(way: str, folder: Path, results: Path, iterations: int) -> dict[str, float]:
    find_dataset(str(folder / "data.yaml")).ensure(results / "data")
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    command = [sys.executable, __file__, "--launch", way, str(folder), str(results), str(iterations)]
    if subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode:
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


if __name__ == "__main__":
    if sys.argv[1:2] == ["--launch"]:
        sys.exit(run(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])))
    main()
