"""The suite that `python -m benchmarks suite` times, and the process that launches it; it imports no more than `yolact run`."""

from __future__ import annotations

import sys
from pathlib import Path

from experiments.datasets.find import find_dataset
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.plan.build import DataInfo, Plan, build_plan
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec
from experiments.store.folder import Store

SPEC_FILE, DATA_FILE = "suite.yaml", "data.yaml"
_SPEC = """\
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
_DATA = "kind: shapes\nname: suite\nshapes: {{train: {train}, val: 1, test: {test}}}\n"


def write(folder: Path, train: int, test: int) -> None:
    """Put the spec and the data set's description, of that many images, into `folder`."""
    (folder / SPEC_FILE).write_text(_SPEC)
    (folder / DATA_FILE).write_text(_DATA.format(train=train, test=test))


def run(way: str, folder: Path, results: Path, iterations: int) -> int:
    """What the launcher's process does; returns its exit status."""
    plan = _plan(folder, iterations)
    pool = Pool(Machine(cores=2), warm=way == "now")
    return pool.run(plan, set(plan.stages), Store(results), lambda event: None).exit_status


def _plan(folder: Path, iterations: int) -> Plan:
    place = str(folder / DATA_FILE)
    dataset = find_dataset(place)
    data = DataInfo(dataset.name, dataset.id, dataset.splits)
    settings = [parse_setting(f"training.iterations={iterations}"), parse_setting("speed.repeats=10")]
    spec, scale = load_spec(str(folder / SPEC_FILE)), load_scale("toy")
    return build_plan(spec, scale, data, location=place, settings=settings, seeds=(0,))


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])))
