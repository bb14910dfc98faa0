"""How long `yolact plan` and `yolact status` take as the number of stages grows from 10 to 10,000.

Cost: three minutes on one core, and 100 MB of disk for a while. To reproduce:

    python -m benchmarks planning --out results/reference/cpu

Writes planning.csv and planning.json (hardware, versions, date). Seconds are processor time of whole commands, each in a new
process, the least of REPEATS: on an idle machine the time one waits, and less moved than that by other work on the machine."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import ROOT
from benchmarks.common.results import write_csv
from experiments.datasets.find import find_dataset
from experiments.plan.build import DataInfo, Plan, build_plan
from experiments.run.provenance import environment, sources
from experiments.spec.schema import load_scale, load_spec
from experiments.store.folder import Store
from yolact.runtime.files import write_json

SIZES = ((2, 1), (3, 2), (10, 2), (20, 3), (40, 5), (60, 10), (100, 20))
"""(variants, seeds); five stages each."""
REPEATS = 2
SPEC = """\
title: planning
question: How long does planning take?
preset: yolact_base
reference: lr=0.001
measure: [coco, speed, prototypes]
grid:
  training.lr: {values}
"""
CHANGED = ("--set", "training.momentum=0.8")
COMMANDS = ("plan_new_s", "plan_done_s", "plan_changed_s", "status_s", "status_of_experiment_s", "results_ls_s")


def measure(variants: int, seeds: int, folder: Path) -> dict[str, float]:
    """One row of the table."""
    spec = folder / "planning.yaml"
    spec.write_text(SPEC.format(values=[round(0.001 * (index + 1), 3) for index in range(variants)]))
    plan = _plan(spec, seeds)
    results = folder / "results"
    asked = ("plan", str(spec), "--seeds", ",".join(map(str, range(seeds))), "--results")
    seconds = [_seconds(*asked, str(folder / "empty"))]
    _finish(plan, Store(results))
    seconds += [
        _seconds(*asked, str(results)),
        _seconds(*asked, str(results), *CHANGED),
        _seconds("status", "--results", str(results)),
        _seconds("status", plan.name, "--results", str(results)),
        _seconds("results", "ls", "--results", str(results)),
    ]
    return {"stages": len(plan.stages), "variants": variants, "seeds": seeds, **dict(zip(COMMANDS, seconds, strict=True))}


def _plan(spec: Path, seeds: int) -> Plan:
    scale = load_scale("toy")
    data = find_dataset(scale.scale.data)
    info = DataInfo(data.name, data.id, tuple(data.splits))
    return build_plan(load_spec(str(spec)), scale, info, location=data.name, seeds=range(seeds))


def _finish(plan: Plan, store: Store) -> None:
    """Records as they stand after a run in which everything was done; without results."""
    store.write_experiment(plan.experiment)
    status = {
        "state": "done",
        "started": None,
        "finished": None,
        "wall_seconds": 12.3,
        "attempt": 1,
        "digests": {"x": "0" * 64},
    }
    for stage in plan.stages.values():
        folder = store.stage_folder(stage.id)
        folder.mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps(stage.record, indent=2))
        (folder / "status.json").write_text(json.dumps(status, indent=2))


def _seconds(*arguments: str) -> float:
    times = []
    for _ in range(REPEATS):
        begun = _processor_seconds()
        command = [sys.executable, "-m", "experiments.cli.main", *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        times.append(_processor_seconds() - begun)
    return round(min(times), 2)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size; print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the two files; without, rows are only printed")
    options = parser.parse_args(arguments)
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = []
    for variants, seeds in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(variants, seeds, Path(folder)))
        print(rows[-1], flush=True)
    if options.out:
        write_csv(options.out / "planning.csv", [{**each, "threads": 1} for each in rows])
        made = {
            key: value for key, value in environment("cpu", 1, None, sources()).items() if key not in ("host", "executable")
        }
        write_json(options.out / "planning.json", {"date": datetime.now(UTC).date().isoformat(), **made})
