"""Opening of the trained network and the data set of a stage. Imports torch; only stages import this."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from experiments.datasets.dataset import Dataset
from experiments.datasets.find import find_dataset
from experiments.stages.kind import StageContext
from yolact.config import InferenceConfig, ModelConfig
from yolact.config.base import Config
from yolact.data.coco import CocoSplit
from yolact.measures.context import Look
from yolact.models.build import build_model
from yolact.models.checkpoint import load_weights
from yolact.models.layers.padding import set_padding


def look(ctx: StageContext) -> Look:
    """The trained network and the evaluated split, for a measure."""
    fix_numbers(ctx)
    model, _, _ = trained_model(ctx)
    inference = InferenceConfig.from_data(ctx.fields["inference"])
    return Look(model, open_split(ctx, ctx.fields["split"]), inference, ctx.device, ctx.log, ctx.should_stop)


def trained_model(ctx: StageContext) -> tuple[Any, list[int], list[str]]:
    """The network of the train stage in eval mode, with the padding of the stage's inference, and its data set's category ids
    and names."""
    model, category_ids, class_names = load_trained(ctx.inputs["train"], ctx.device)
    intervention = InferenceConfig.from_data(ctx.fields["inference"]).intervention
    if intervention.kind == "padding":
        set_padding(model, intervention.mode)
    return model, category_ids, class_names


def load_trained(result: Path, device: str) -> tuple[Any, list[int], list[str]]:
    """(model in eval mode on `device`, category ids, class names) from the result folder of a train stage."""
    described = json.loads((result / "model.json").read_text(encoding="utf-8"))
    model: Any = build_model(model_config(described["model"]), len(described["category_ids"]), pretrained=False)
    load_weights(model, result / "weights.pt")
    return model.to(device).eval(), described["category_ids"], described["class_names"]


def model_config(data: dict[str, Any]) -> ModelConfig:
    """Parse a network's configuration from plain data; its `kind` selects the class."""

    class Holder(Config):
        model: ModelConfig

    return Holder.from_data({"model": data}).model


def open_dataset(ctx: StageContext) -> Dataset:
    """Open the data set and check that it is the planned one."""
    dataset = find_dataset(ctx.data)
    dataset.expect(ctx.data_id)
    return dataset


def open_split(ctx: StageContext, split: str) -> CocoSplit:
    """Open a split of the data set, with images and ground truth."""
    dataset = open_dataset(ctx)
    return dataset.open(split, dataset.ensure(ctx.data_root, [split]))


def fix_numbers(ctx: StageContext) -> None:
    """Make numbers reproducible: a fixed number of threads, and no algorithm chosen by timing."""
    torch.set_num_threads(ctx.threads)
    if ctx.device == "cuda":
        torch.backends.cudnn.benchmark = False
