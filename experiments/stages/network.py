"""What each kind of stage does: thin glue from a `StageContext` into the library. Imports torch; only stages import this."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from experiments.datasets.datasets import Dataset, find_dataset
from experiments.stages.kinds import Interrupted, StageContext
from yolact.config import EvaluationConfig, InferenceConfig, ModelConfig, SpeedConfig, TrainingConfig
from yolact.config.base import Config
from yolact.data.coco import CocoSplit
from yolact.data.loader import TrainingBatches
from yolact.evaluation.coco import evaluate_to
from yolact.evaluation.inputs import IouType
from yolact.inference.speed import measure_speed
from yolact.measures.context import Look
from yolact.models.build import build_model
from yolact.models.checkpoint import load_weights, write_state_dict
from yolact.models.padding import set_padding
from yolact.runtime.files import write_json, write_text
from yolact.training import loop as training
from yolact.training.distributed import Group, joined


def train(ctx: StageContext) -> None:
    """Draw weights from the seed, train, and write weights.pt, model.json, losses.csv, summary.json."""
    fix_numbers(ctx)
    with joined(ctx.ranks, ctx.device) as group:
        _train(ctx, group)


def _train(ctx: StageContext, group: Group) -> None:
    config = TrainingConfig.from_data(ctx.fields["training"])
    split = group.first(lambda: open_split(ctx, "train"))
    torch.manual_seed(ctx.seed or 0)
    network, classes = _model_config(ctx.fields["model"]), len(split.category_ids)
    model: Any = group.first(lambda: build_model(network, classes, pretrained=config.start_from is None))
    if config.start_from is not None:
        fresh = load_weights(model, config.start_from, fresh_classes=True)
        ctx.log(
            {"event": "info", "message": f"fine-tuning from {config.start_from}; fresh layers: {', '.join(fresh) or 'none'}"}
        )

    def batches(start: int) -> Iterable:
        return TrainingBatches(
            split,
            config.augmentation,
            model.image_size,
            config.batch_size,
            ctx.seed or 0,
            iterations=config.iterations,
            start_iteration=start,
            skip_empty=config.skip_images_without_objects,
            workers=ctx.workers,
            pinned=ctx.device == "cuda",
            rank=group.rank,
            ranks=group.size,
        )

    try:
        history = training.train(
            model,
            batches,
            config,
            device=ctx.device,
            checkpoint=ctx.checkpoint,
            log=ctx.log,
            should_stop=ctx.should_stop,
            group=group,
        )
    except training.Interrupted as stop:
        raise Interrupted(str(stop)) from None
    if group.rank:
        return
    write_state_dict(model.state_dict(), ctx.output / "weights.pt")
    described = {"model": ctx.fields["model"], "class_names": split.class_names, "category_ids": split.category_ids}
    write_json(ctx.output / "model.json", described)
    write_text(ctx.output / "losses.csv", _table(history.rows))
    summary = {
        "iterations": config.iterations,
        "skipped_steps": history.skipped,
        "final_loss": history.rows[-1]["loss"] if history.rows else None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_images": len(split),
    }
    write_json(ctx.output / "summary.json", summary)


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


def look(ctx: StageContext) -> Look:
    """The trained network and the evaluated split, for a measure."""
    fix_numbers(ctx)
    model, _, _ = trained_model(ctx)
    inference = InferenceConfig.from_data(ctx.fields["inference"])
    return Look(model, open_split(ctx, ctx.fields["split"]), inference, ctx.device, ctx.log, ctx.should_stop)


def trained_model(ctx: StageContext) -> tuple[Any, list[int], list[str]]:
    """The network of the train stage, ready to predict and padded as the stage's inference says, with its data set's category
    ids and names."""
    model, category_ids, class_names = load_trained(ctx.inputs["train"], ctx.device)
    intervention = InferenceConfig.from_data(ctx.fields["inference"]).intervention
    if intervention.kind == "padding":
        set_padding(model, intervention.mode)
    return model, category_ids, class_names


def load_trained(result: Path, device: str) -> tuple[Any, list[int], list[str]]:
    """(model in eval mode on `device`, category ids, class names) from the result folder of a train stage."""
    described = json.loads((result / "model.json").read_text(encoding="utf-8"))
    model: Any = build_model(_model_config(described["model"]), len(described["category_ids"]), pretrained=False)
    load_weights(model, result / "weights.pt")
    return model.to(device).eval(), described["category_ids"], described["class_names"]


def _model_config(data: dict[str, Any]) -> ModelConfig:
    class Holder(Config):
        model: ModelConfig

    return Holder.from_data({"model": data}).model


def open_dataset(ctx: StageContext) -> Dataset:
    """The data set, checked to be the one that was planned with."""
    dataset = find_dataset(ctx.data)
    dataset.expect(ctx.data_id)
    return dataset


def open_split(ctx: StageContext, split: str) -> CocoSplit:
    """A split of it, with images and ground truth."""
    dataset = open_dataset(ctx)
    return dataset.open(split, dataset.ensure(ctx.data_root, [split]))


def fix_numbers(ctx: StageContext) -> None:
    """The same numbers on every run: a fixed number of threads, and no algorithm chosen by trial."""
    torch.set_num_threads(ctx.threads)
    if ctx.device == "cuda":
        torch.backends.cudnn.benchmark = False


def _table(rows: list[dict[str, float]]) -> str:
    """Rows as CSV; a term that a row lacks is left empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
