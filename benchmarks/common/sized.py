"""YOLACT-550 with ResNet-50 and random weights, at any size of what its latency depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.common.calibration import threshold
from benchmarks.common.networks import drawn, noise, presets
from yolact.config import InferenceConfig, PrototypeConfig, YolactConfig
from yolact.config.engine import EngineConfig
from yolact.config.presets import Preset, preset
from yolact.config.presets.yolact import scaled_anchors
from yolact.inference.predictor import Predictor
from yolact.structures import Detections

Run = Callable[..., Sequence[Detections]]
"""From uint8 images in the device's memory to detections with masks at the images' size."""


@dataclass(frozen=True)
class Size:
    """One configuration. The defaults are the published one's."""

    batch: int = 1
    image_size: int = 550
    """Side of the network's input in pixels; the images stay 640 x 480."""
    k: int = 32
    """Prototypes."""
    detections: int = 100
    """Kept for each image, all of them with masks."""
    classes: int = 80


def sized(size: Size, tiny: bool = False) -> Preset:
    """The preset `yolact_resnet50` in that size; `tiny`: another backbone, and a side of 64 in place of 550 pixels."""
    model = presets(tiny=True)["tiny_yolact"].model if tiny else preset("yolact_resnet50").model
    if not isinstance(model, YolactConfig):
        raise TypeError(type(model))
    side = size.image_size * model.image_size // 550
    branch = model.mask_branch.replace(k=size.k) if isinstance(model.mask_branch, PrototypeConfig) else model.mask_branch
    anchors = model.anchors if side == model.image_size else scaled_anchors(side)
    model = model.replace(image_size=side, mask_branch=branch, anchors=anchors)
    inference = InferenceConfig(max_detections=size.detections)
    return Preset("sized", "", model, preset("yolact_resnet50").training, inference, size.classes)


def prepare(size: Size, device: str, tiny: bool = False, engine: EngineConfig = EngineConfig()) -> Run:  # noqa: B008 - immutable
    """The network on `device`, ready to run on a batch of noise of 640 x 480, with `size.detections` found in each image.

    The score threshold lies just below the last of the detections asked for, as found without a threshold: this changes none
    of them, and what passes it is no more than they need.
    """
    chosen = sized(size, tiny)
    model = drawn(chosen).to(device)
    images = [image.to(device) for image in noise(size.batch, (48, 64) if tiny else (480, 640))]
    free = Predictor(model).predict(images, chosen.inference.replace(score_threshold=0.0))
    last = min(found.scores.min().item() for found in free)
    inference = chosen.inference.replace(score_threshold=threshold(last), engine=engine)
    predictor = Predictor(model, engine)
    return lambda: predictor.predict(images, inference)
