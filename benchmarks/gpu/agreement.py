"""Whether a GPU computes what the CPU computes: raw outputs, losses, detections and masks of one network with the same weights.

Detections are compared twice. `same outputs`: the CPU's raw outputs are decoded, suppressed and assembled on both, so that
rounding inside the network can't reorder anything. `whole`: from pixels to masks on either, where detections whose scores lie a
rounding apart may change places. Convolutions and matrix products use full float32 here (no TF32).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from benchmarks.common.networks import drawn, noise
from benchmarks.common.precision import full_float32
from yolact.config.presets import Preset
from yolact.inference.predictor import Predictor
from yolact.models.base import Model
from yolact.models.one_stage.model import Raw
from yolact.structures import Detections, Target

RAW = ("offsets", "logits", "mask_parameters", "maps")
TOLERANCES = {
    "raw": (1e-4, "largest difference / largest value"),
    "loss": (1e-4, "relative difference"),
    "same outputs: detections": (0.01, "share not found on the other (same label, corners within 1 px)"),
    "same outputs: masks": (1e-4, "share of differing pixels"),
    "whole: detections": (0.05, "share not found on the other (same label, corners within 1 px)"),
    "whole: masks": (1e-3, "share of differing pixels"),
}
"""{quantity: (largest difference that counts as agreement, what is measured)}."""
_PIXELS = 1.0


@dataclass(frozen=True)
class Row:
    """One comparison of one preset."""

    preset: str
    quantity: str
    """A key of TOLERANCES, for raw outputs and losses followed by the tensor or term."""
    difference: float
    tolerance: float
    measure: str
    agrees: bool
    count: int
    """Values, detections or pixels compared; none compared is no agreement."""


def agreement(preset: Preset, device: str, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Compare `device` with the CPU on an image of `size` (H, W); rows as plain data."""
    model = drawn(preset)
    images = noise(1, size)
    batch = torch.rand(1, 3, model.image_size, model.image_size, generator=torch.Generator().manual_seed(2)) * 255
    rows: list[Row] = []

    def note(quantity: str, difference: float, count: int, detail: str = "") -> None:
        tolerance, measure = TOLERANCES[quantity]
        agrees = count > 0 and difference <= tolerance
        rows.append(Row(preset.name, f"{quantity} {detail}".strip(), difference, tolerance, measure, agrees, count))

    with full_float32():
        on_cpu, on_device = _both(model, device, lambda place: _forward(model, preset, batch, images, place))
        if model.dense_head is not None:  # a two-stage model draws proposals on its device
            _compare_raw(on_cpu["raw"], on_device["raw"], note)
            _compare_decoding(model, preset, on_cpu["raw"], device, size, note)
            losses = _both(model, device, lambda place: _losses(model, place))
            for name, value in losses[0].items():
                note("loss", abs(losses[1][name] - value) / max(abs(value), 1e-12), 1, name)
        _compare_detections("whole", on_cpu["found"], on_device["found"], note)
    return [asdict(row) for row in rows]


Note = Callable[..., None]


def _both(model: Model, device: str, run: Callable[[str], Any]) -> tuple[Any, Any]:
    found = []
    for place in ("cpu", device):
        model.to(place)
        found.append(run(place))
    model.to("cpu")
    return found[0], found[1]


@torch.inference_mode()
def _forward(model: Model, preset: Preset, batch: Tensor, images: list[Tensor], place: str) -> dict[str, Any]:
    raw = model(batch.to(place)) if model.dense_head is not None else None
    found = Predictor(model).predict([image.to(place) for image in images], preset.inference)[0]
    return {"raw": None if raw is None else _raw_to(raw, "cpu"), "found": found.to("cpu")}


@torch.no_grad()
def _losses(model: Model, place: str) -> dict[str, float]:
    """In training mode, so that the semantic branch is there; batch norm follows the batch, not what it saw before."""
    generator = torch.Generator().manual_seed(3)
    batch = torch.rand(2, 3, model.image_size, model.image_size, generator=generator) * 255
    targets = [_target(model, seed).to(place) for seed in range(2)]
    model.train()
    terms = model.loss(batch.to(place), model.assign(targets))
    model.eval()
    return {name: float(value) for name, value in terms.items()}


def _target(model: Model, seed: int) -> Target:
    """Three rectangles that overlap."""
    size = model.image_size
    corners = torch.tensor([[0.1, 0.1, 0.5, 0.6], [0.3, 0.2, 0.8, 0.9], [0.55, 0.05, 0.95, 0.3]]) * size
    boxes = corners.round()
    masks = torch.zeros(3, size, size, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    labels = torch.arange(3) % model.num_classes
    return Target(boxes, labels, masks, torch.zeros(3, dtype=torch.bool), image_id=seed, seed=seed)


def _compare_raw(ours: Raw, theirs: Raw, note: Note) -> None:
    for name in RAW:
        reference, value = _named(ours).get(name), _named(theirs).get(name)
        if reference is not None and value is not None:
            scale = reference.abs().max().clamp(min=1e-12)
            note("raw", float((value - reference).abs().max() / scale), reference.numel(), name)


@torch.inference_mode()
def _compare_decoding(model: Model, preset: Preset, raw: Raw, device: str, size: tuple[int, int], note: Note) -> None:
    found = []
    for place in ("cpu", device):
        detections = model.to(place).postprocess(_raw_to(raw, place), [size], preset.inference)
        found.append(detections[0].to("cpu"))
    model.to("cpu")
    _compare_detections("same outputs", found[0], found[1], note)


def _compare_detections(how: str, ours: Detections, theirs: Detections, note: Note) -> None:
    pairs = paired(ours, theirs)
    most = max(len(ours), len(theirs))
    note(f"{how}: detections", 1 - len(pairs) / most if most else 0.0, most)
    if ours.masks is not None and theirs.masks is not None:
        differing = sum(int((ours.masks[i] != theirs.masks[j]).sum()) for i, j in pairs)
        pixels = len(pairs) * ours.masks[0].numel() if pairs else 0
        note(f"{how}: masks", differing / pixels if pixels else 0.0, pixels)


def paired(ours: Detections, theirs: Detections) -> list[tuple[int, int]]:
    """Indices of detections that are the same: equal labels, all corners within a pixel; each stands in one pair at most."""
    pairs, free = [], list(range(len(theirs)))
    for i in range(len(ours)):
        for j in free:
            if ours.labels[i] == theirs.labels[j] and (ours.boxes[i] - theirs.boxes[j]).abs().max() <= _PIXELS:
                pairs.append((i, j))
                free.remove(j)
                break
    return pairs


def _raw_to(raw: Raw, place: str) -> Raw:
    return tree_map_only(Tensor, lambda tensor: tensor.to(place), raw)


def _named(raw: Raw) -> dict[str, Tensor]:
    """The tensors of raw outputs by name."""
    dense = {"offsets": raw.dense.box, "logits": raw.dense.logits, "mask_parameters": raw.dense.parameters}
    return dense | {"maps": each for each in raw.context[:1]}  # noqa: B035 - at most one
