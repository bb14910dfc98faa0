"""The `coco` and `speed` stages: accuracy of stored detections and latency of a trained network. Only stages import this."""

from __future__ import annotations

import json

from experiments.stages.kind import StageContext
from experiments.stages.network import fix_numbers, open_dataset, open_split, trained_model
from yolact.config import EvaluationConfig, InferenceConfig, SpeedConfig
from yolact.evaluation.coco import evaluate_to
from yolact.evaluation.inputs import IouType
from yolact.inference.speed import measure_speed
from yolact.runtime.files import write_json


def coco(ctx: StageContext) -> None:
    """Evaluate the detections of the predict stage; the files are those of `yolact.evaluation.coco.evaluate_to`."""
    dataset, evaluation = open_dataset(ctx), EvaluationConfig.from_data(ctx.fields["evaluation"])
    split = ctx.fields["evaluation"]["split"]
    _, annotations = dataset.paths(split, dataset.ensure(ctx.data_root, [split]))
    found = ctx.inputs["predict"]
    masks = json.loads((found / "summary.json").read_text(encoding="utf-8"))["masks"]
    kinds: tuple[IouType, ...] = ("segm", "bbox") if masks else ("bbox",)
    evaluate_to(
        ctx.output, annotations, found / "detections.json", rules=evaluation.rules, kinds=kinds, backend=evaluation.backend
    )


def speed(ctx: StageContext) -> None:
    """Time the trained network on images of the evaluated split; write speed.json."""
    fix_numbers(ctx)
    model, _, _ = trained_model(ctx)
    config = SpeedConfig.from_data(ctx.fields["speed"])
    split = open_split(ctx, ctx.fields["split"])
    images = [split.image(image_id) for image_id in split.image_ids[: config.repeats]]
    inference = InferenceConfig.from_data(ctx.fields["inference"])
    write_json(ctx.output / "speed.json", measure_speed(model, images, inference, config, ctx.device, ctx.threads))
