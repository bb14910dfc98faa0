"""The `train` stage: draw weights from the seed, train, write the checkpoint. Imports torch; only stages import this."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from experiments.stages.kind import Interrupted, StageContext
from experiments.stages.network import fix_numbers, model_config, open_split
from yolact.config import TrainingConfig
from yolact.data.loader import TrainingBatches
from yolact.models.build import build_model
from yolact.models.checkpoint import load_weights, write_state_dict
from yolact.runtime.files import write_csv, write_json
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
    network, classes = model_config(ctx.fields["model"]), len(split.category_ids)
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
    write_csv(ctx.output / "losses.csv", history.rows)
    summary = {
        "iterations": config.iterations,
        "skipped_steps": history.skipped,
        "final_loss": history.rows[-1]["loss"] if history.rows else None,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_images": len(split),
    }
    write_json(ctx.output / "summary.json", summary)
