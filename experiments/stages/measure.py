"""Stages of measures: open network and data, and call the measure. Only stages import this."""

from __future__ import annotations

import json

from experiments.stages.kind import Interrupted, StageContext, load
from experiments.stages.network import look, open_dataset
from yolact.measures import declaration
from yolact.measures.context import Stopped


def of_train(ctx: StageContext, measure: str) -> None:
    """Measure the trained network through images of the evaluated split.

    Args:
        measure: its name or import path.
    """
    declared = declaration(measure)
    config = declared.config.from_data(ctx.fields[declared.name])
    try:
        load(declared.function)(ctx.output, look(ctx), config)
    except Stopped as stop:
        raise Interrupted(str(stop)) from None


def of_predict(ctx: StageContext, measure: str) -> None:
    """Measure the stored detections against the ground truth of the evaluated split; argument as in `of_train`."""
    declared = declaration(measure)
    dataset, split = open_dataset(ctx), ctx.fields["split"]
    _, annotations = dataset.paths(split, dataset.ensure(ctx.data_root, [split]))
    found = ctx.inputs["predict"]
    masks = json.loads((found / "summary.json").read_text(encoding="utf-8"))["masks"]
    config = declared.config.from_data(ctx.fields[declared.name])
    load(declared.function)(ctx.output, annotations, found / "detections.json", masks, config)
