"""What the measuring kinds of stages do: open network and data, and let `yolact/measures/` look. Only stages import this."""

from __future__ import annotations

import json
from importlib import import_module

from experiments.stages.kind import Interrupted, StageContext
from experiments.stages.network import look, open_dataset
from yolact.config import (
    CoefficientsConfig,
    Config,
    ErrorsConfig,
    LeakageConfig,
    ProbesConfig,
    PrototypesConfig,
    RedundancyConfig,
    ResponsesConfig,
    StabilityConfig,
)
from yolact.measures.context import Stopped


def prototypes(ctx: StageContext) -> None:
    """The prototypes, coefficients and masks of some images, for pictures."""
    from yolact.measures.prototypes.measure import collect

    try:
        collect(ctx.output, look(ctx), PrototypesConfig.from_data(ctx.fields["prototypes"]))
    except Stopped as stop:
        raise Interrupted(str(stop)) from None


def responses(ctx: StageContext) -> None:
    """What each prototype responds to."""
    _measure(ctx, "responses", ResponsesConfig)


def probes(ctx: StageContext) -> None:
    """Activations on generated images that tell place from content."""
    _measure(ctx, "probes", ProbesConfig)


def redundancy(ctx: StageContext) -> None:
    """How much the prototypes repeat each other."""
    _measure(ctx, "redundancy", RedundancyConfig)


def coefficients(ctx: StageContext) -> None:
    """Coefficients as predicted, and the best there could be."""
    _measure(ctx, "coefficients", CoefficientsConfig)


def leakage(ctx: StageContext) -> None:
    """Where masks spill and detections merge."""
    _measure(ctx, "leakage", LeakageConfig)


def stability(ctx: StageContext) -> None:
    """How steady masks are from frame to frame."""
    _measure(ctx, "stability", StabilityConfig)


def errors(ctx: StageContext) -> None:
    """Where the AP is lost, from the detections of the predict stage."""
    from yolact.measures.errors.measure import measure

    dataset, split = open_dataset(ctx), ctx.fields["split"]
    _, annotations = dataset.paths(split, dataset.ensure(ctx.data_root, [split]))
    found = ctx.inputs["predict"]
    masks = json.loads((found / "summary.json").read_text(encoding="utf-8"))["masks"]
    measure(ctx.output, annotations, found / "detections.json", masks, ErrorsConfig.from_data(ctx.fields["errors"]))


def _measure(ctx: StageContext, name: str, config: type[Config]) -> None:
    """`yolact.measures.<name>.measure(folder, look, config)` writes the result."""
    measure = import_module(f"yolact.measures.{name}.measure").measure
    try:
        measure(ctx.output, look(ctx), config.from_data(ctx.fields[name]))
    except Stopped as stop:
        raise Interrupted(str(stop)) from None
