"""The interface of every model: what trainer, predictor, engines, export and clock rely on.

Training:   assignment = model.assign(targets);  terms = model.criterion(model(images), assignment)
Inference:  detections = model.postprocess(model(images), sizes, inference)      (`yolact.inference.predictor` wraps both steps)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from yolact.config.inference import InferenceConfig
from yolact.config.model import ModelConfig
from yolact.models.layers.frozen import freeze_batch_norm
from yolact.structures import Detections, Target

Counts = dict[str, float]
"""Divisors of the loss terms by name. Those of all micro-batches and processes are added, so that splitting a batch changes
nothing."""


class Assignment(Protocol):
    """What the targets of a batch ask of a model's outputs, computed once per step. Each model defines its own."""

    @property
    def counts(self) -> Counts:
        """The batch's contribution to the divisors of the loss."""


class Model(nn.Module):
    """A detector behind one interface. `Raw`, which `forward` returns, is a NamedTuple of tensors, defined by each model."""

    config: ModelConfig
    image_size: int
    """Side S of the square input in pixels."""
    num_classes: int
    """Without background."""
    class_layers: tuple[str, ...]
    """Beginnings of the names of weights whose shape depends on the number of classes."""
    classifier: str
    """Name of the layer that makes the class logits."""
    outside_forward: tuple[str, ...] = ()
    """Names of modules that `forward` does not call in inference mode; compiled graphs and exported files leave them out."""
    pixel_mean: Tensor
    """(3, 1, 1), as `pixel_std`: normalises the pixels of the input."""
    pixel_std: Tensor
    section_names: tuple[str, ...]
    """The sections of `forward` and `postprocess` in the order of their work (`yolact.runtime.profiling`)."""
    postprocess_sections: tuple[str, ...] = ()
    """Those of `postprocess`."""

    def forward(self, images: Tensor, masks: bool = True) -> Any:
        """Raw outputs for a batch, of static shapes; what needs dynamic shapes belongs to `postprocess`.

        Args:
            images: (n, 3, S, S) float32 RGB in 0..255.
            masks: False leaves out what only masks need.
        """
        raise NotImplementedError

    def assign(self, targets: Sequence[Target]) -> Assignment:
        """Match the targets of a batch, one per image, with the model's outputs. Without gradients."""
        raise NotImplementedError

    def criterion(self, raw: Any, assignment: Any, counts: Counts | None = None) -> dict[str, Tensor]:
        """Named terms of the training loss, in float32; their sum is minimised.

        Args:
            raw: outputs of `forward` in training mode.
            assignment: of the same images.
            counts: divisors of the whole batch if `raw` is only a part of it; None takes those of `assignment`.
        """
        raise NotImplementedError

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Decode raw float32 outputs into detections.

        Args:
            raw: outputs of `forward` in inference mode.
            sizes: (H, W) of each original image; boxes and masks are in its pixels.
            inference: thresholds, NMS, crop. Its `engine` is ignored here.

        Raises:
            ConfigError: the model does not support a setting.
        """
        raise NotImplementedError

    def loss(self, images: Tensor, assignment: Any, counts: Counts | None = None) -> dict[str, Tensor]:
        """`criterion` of `forward`."""
        return self.criterion(self(images), assignment, counts)

    @property
    def frozen(self) -> nn.Module | None:
        """The part whose batch norm stays as loaded, if any."""
        return None

    def train(self, mode: bool = True) -> Self:
        """Training or inference mode; the batch norm of a frozen part stays in inference mode."""
        super().train(mode)
        if self.frozen is not None:
            freeze_batch_norm(self.frozen)
        return self

    def observed(self) -> list[float]:
        """Sums over what the loss has seen in training mode since the last call, for models that keep statistics of it.

        The trainer adds them up over the micro-batches and processes of a step, so that splitting a batch changes nothing.
        """
        return []

    def update(self, sums: Sequence[float]) -> None:
        """Take in those sums over the whole batch, once per step whose loss is finite."""

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.pixel_mean.device

    def register_pixels(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Set `pixel_mean` and `pixel_std` as buffers that are not stored with the weights."""
        self.register_buffer("pixel_mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("pixel_std", torch.tensor(std)[:, None, None], persistent=False)

    @property
    def prototypes(self) -> Any:
        """What combines prototypes linearly, if masks are made so, else None.

        It is a `LinearMasks` (`models/masks/prototypes.py`), and says of its maps what `maps` says.
        """
        return None

    @property
    def maps(self) -> Any:
        """The mask branch if it makes masks of maps of the whole image (`MaskBranch.map_count`), linearly or not, else None.

        The maps come first in the `context` of raw outputs, (n, k, h, w): prototypes, bases, mask features.
        """
        return None

    @property
    def dense_head(self) -> Any:
        """The dense head (`models/one_stage/dense_head.py`) if detections come from fixed locations, else None.

        A model that has one is `OneStage`: it can be exported, and its NMS has a compiled graph.
        """
        return None


def without_unused(model: Any) -> Any:
    """`model` itself after removing what its forward pass does not call in inference mode."""
    for name in model.outside_forward:
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, None)
    return model


def total_counts(parts: Iterable[Counts]) -> Counts:
    """Sum of divisors, name by name."""
    total: Counts = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total


def to_float32(raw: Any) -> Any:
    """The same nested tuple with every tensor in float32."""
    return tree_map_only(Tensor, lambda tensor: tensor.float(), raw)


def resize(image: Tensor, size: int) -> Tensor:
    """Squash a (3, H, W) uint8 image to (3, size, size) float32 in 0..255: bilinear, without antialiasing."""
    return F.interpolate(image[None].float(), size=(size, size), mode="bilinear", align_corners=False)[0]
