"""The model interface: all that trainer, evaluator and clock know of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.engine import EngineConfig
from yolact.config.inference import InferenceConfig
from yolact.models.one_stage.losses import Normalizer
from yolact.runtime.profiling import Sections, no_sections
from yolact.structures import Detections, Target

IMAGENET_MEAN = (123.68, 116.78, 103.94)
IMAGENET_STD = (58.40, 57.12, 57.38)
LaterSteps = Callable[[InferenceConfig, bool], list[Detections]]
"""(inference, keep_prototypes) -> detections: the steps of `predict` after the network's own, on images already looked at."""


class Model(nn.Module):
    """All that trainer, evaluator and clock know. Subclasses give `normalizer`, `loss` and `detect`."""

    image_size: int
    """Side of the square input in pixels."""
    num_classes: int
    section_names: tuple[str, ...]
    """The parts that `predict` brackets with `sections`, in the order of their work."""

    def normalizer(self, targets: Sequence[Target]) -> Normalizer:
        """What these targets add to the loss's divisors."""
        raise NotImplementedError

    def loss(self, images: Tensor, targets: Sequence[Target], normalizer: Normalizer | None = None) -> dict[str, Tensor]:
        """Named terms of the training loss, whose sum is minimised.

        Args:
            images: (n, 3, S, S) float32 RGB in 0..255.
            targets: one per image.
            normalizer: of the whole batch, where `images` is only a part of it; None takes these targets' own.
        """
        raise NotImplementedError

    @torch.inference_mode()
    def predict(
        self,
        images: Sequence[Tensor],
        inference: InferenceConfig,
        sections: Sections = no_sections,
        keep_prototypes: bool = False,
    ) -> list[Detections]:
        """Detections in (3, H, W) uint8 RGB images of any sizes, in pixels of each; without gradients, in inference mode.

        A model in training mode is put back into it: batch norm must neither follow these images nor learn from them.
        """
        training = self.training
        self.eval()
        try:
            return self.detect(images, inference, sections, keep_prototypes)
        finally:
            if training:
                self.train()

    def detect(
        self, images: Sequence[Tensor], inference: InferenceConfig, sections: Sections, keep_prototypes: bool
    ) -> list[Detections]:
        """What `predict` does once gradients and training mode are off."""
        raise NotImplementedError

    def forward_pass(
        self,
        images: Sequence[Tensor],
        masks: bool = True,
        engine: EngineConfig = EngineConfig(),  # noqa: B008 - immutable
    ) -> LaterSteps:
        """Look at images once, for the later steps of several inference configurations: the detections of `predict` for each.

        The model must be in inference mode.

        Args:
            images: as for `predict`.
            masks: `inference.masks` of all of them.
            engine: `inference.engine` of all of them.
        """
        return lambda inference, keep_prototypes: self.predict(images, inference, keep_prototypes=keep_prototypes)


def resize(image: Tensor, size: int) -> Tensor:
    """Squash a (3, H, W) uint8 image to (3, size, size) float32 in 0..255: bilinear, without antialiasing."""
    return F.interpolate(image[None].float(), size=(size, size), mode="bilinear", align_corners=False)[0]
