"""What two-stage detectors share: regions proposed by an RPN, a loss per image with draws of its own, detections of an image.

n images, S the input's side, P proposals of an image, C classes without background. Parts are torchvision's; what differs from
its detectors, so that YOLACT and these share backbones, images and training:

* Images are squashed to S x S, not padded to a multiple of 32. Anchor strides are the true 8, 16, 32, ...
* Every loss term is the mean over images of torchvision's loss of that image, where torchvision's is the mean over what it
  sampled in the whole batch. So a batch may be split in any way, and what is drawn for an image depends on its own seed alone.
* Crowds are left out of the targets; anchors on them count as background.
* Under mixed precision, what `forward` runs alone uses it: bfloat16 resolves coordinates near 550 to 4 pixels only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.config.model.two_stage import TwoStageConfig
from yolact.models.two_stage.per_image import PerImage, Truth
from yolact.models.two_stage.suppression import Survivors
from yolact.ops.masks import paste_padded
from yolact.runtime.profiling import section
from yolact.structures import Detections

Features = dict[str, Tensor]
"""Levels by torchvision's keys: P3, P4, ..."""


class TwoStage(PerImage):
    """A detector whose second stage works on the regions that an RPN proposes.

    A kind of detector makes `detector` and writes `forward`, `rpn_features`, `stage_losses` and `detect`.
    """

    config: TwoStageConfig  # type: ignore[assignment]  # the common class of some of the union's
    detector: GeneralizedRCNN
    """A container of torchvision's: `backbone` (whose `body` is one of ours), `rpn`, `roi_heads`. It is never called itself."""

    class_layers = ("detector.roi_heads",)
    outside_forward = ("detector.rpn", "detector.roi_heads")

    @property
    def body(self) -> nn.Module:
        return self.detector.backbone.body

    def rpn_features(self, raw: Any) -> Features:
        """The levels of a batch that the RPN proposes from."""
        raise NotImplementedError

    def stage_losses(self, raw: Any, proposals: list[Tensor], truth: Truth) -> dict[str, Tensor]:
        """Terms of what follows the RPN, for one image; called with torch's generator at the image's own seed.

        Args:
            raw: float32 outputs of `forward` for one image, n = 1.
            proposals: one tensor (P, 4) xyxy in input pixels, without gradient.
            truth: of the image; without objects, its tensors are empty.
        """
        raise NotImplementedError

    def detect(
        self, raw: Any, proposals: list[Tensor], sizes: Sequence[tuple[int, int]], inference: InferenceConfig
    ) -> list[Detections]:
        """Detections of a batch.

        Args:
            raw: float32 outputs of `forward`.
            proposals: (P, 4) xyxy in input pixels of each image.
            sizes: (H, W) of each original image.
            inference: its suppression is "standard" or "fast".
        """
        raise NotImplementedError

    def image_loss(self, raw: Any, truth: Truth, images: float) -> dict[str, Tensor]:
        """Terms `objectness`, `rpn_box` and those of the second stage."""
        with self._stages_in_mode(training=True):
            proposals, rpn = self.detector.rpn(self.image_list(1), self.rpn_features(raw), [truth])
            stage = self.stage_losses(raw, proposals, truth)
        return {"objectness": rpn["loss_objectness"], "rpn_box": rpn["loss_rpn_box_reg"]} | stage

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        """Propose regions and detect in them. There are no prototypes.

        `suppression: standard` is torchvision's own; `fast` is Fast NMS over the boxes that each class predicts.

        Raises:
            ConfigError: another suppression is asked for.
        """
        if inference.suppression not in ("standard", "fast"):
            raise ConfigError(
                f"inference.suppression {inference.suppression!r} is not there for two-stage detectors: "
                "choose 'standard' or 'fast'",
                "inference.suppression",
            )
        with self._stages_in_mode(training=False):
            with section("rpn"):
                proposals, _ = self.detector.rpn(self.image_list(len(sizes)), self.rpn_features(raw))
            return self.detect(raw, proposals, sizes, inference)

    def image_list(self, count: int) -> ImageList:
        """`count` images for torchvision's parts, which read their device, number and sizes only."""
        return ImageList(self.pixel_mean.new_empty(count, 0), self.image_sizes(count))

    def image_sizes(self, count: int) -> list[tuple[int, int]]:
        """The size of the input, for each of `count` images."""
        return [(self.image_size, self.image_size)] * count

    def assembled(
        self,
        found: Survivors,
        size: tuple[int, int],
        inference: InferenceConfig,
        masks: Tensor | None = None,
        mask_scores: Tensor | None = None,
    ) -> Detections:
        """Detections in pixels of an image of `size` (H, W).

        Args:
            found: boxes in input pixels.
            masks: (n, 1, h, w) probabilities in the frame of each box.
            mask_scores: (n,)
        """
        height, width = size
        boxes = found.boxes * (found.boxes.new_tensor([width, height, width, height]) / self.image_size)
        pasted = None if masks is None else paste_padded(masks[:, 0], boxes, size, inference.mask_threshold)
        boxes = boxes.trunc() if inference.whole_pixel_boxes else boxes
        return Detections(
            boxes, found.scores, found.labels, pasted, mask_scores=mask_scores if inference.rescore_masks else None
        )

    @contextmanager
    def _stages_in_mode(self, training: bool) -> Iterator[None]:
        """torchvision's two stages return losses or detections by their `training` flag; nothing else in them reads it."""
        stages = (self.detector.rpn, self.detector.roi_heads)
        before = [stage.training for stage in stages]
        try:
            for stage in stages:
                stage.training = training
            yield
        finally:
            for stage, mode in zip(stages, before, strict=True):
                stage.training = mode
