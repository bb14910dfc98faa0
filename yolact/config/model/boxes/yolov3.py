"""YOLOv3: neck, anchors, matching, loss. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from yolact.config.base import Config
from yolact.config.fields import Fraction, Positive, Side
from yolact.config.mask_branch import MaskBranchConfig, NoMaskConfig
from yolact.config.model.base import AnyDetectorConfig, refuse_masks
from yolact.config.model.parts import BackboneConfig, ImageSize

Shape = tuple[Side, Side]
"""Width, height."""


class YOLOv3NeckConfig(Config):
    """YOLOv3's neck (`yolact/models/necks/yolov3.py`)."""

    widths: tuple[Positive, Positive, Positive] = (128, 256, 512)
    """Channels of the levels at strides 8, 16, 32; convolutions between them have twice as many."""


class YOLOv3MatchingConfig(Config):
    """Which anchors are positive, and which are ignored (`yolact/models/one_stage/heads/yolov3_head.py`)."""

    ignore_iou: Fraction = 0.7
    """The objectness of an anchor that is not positive is ignored where its predicted box overlaps an object by more."""
    min_side: Fraction = 0.001
    """Objects with a shorter side, as a fraction of the input's, are not learned."""
    max_objects: Positive = 90
    """Of an image, only so many objects are learned, the first ones."""
    union_of_classes: bool = True
    """Official quirk: of two objects at one anchor, the later gives the box, but both give their class. False: the later gives
    both."""


class YOLOv3LossConfig(Config):
    """Weights of YOLOv3's loss terms (`yolact/models/one_stage/heads/yolov3_head.py`)."""

    box: Annotated[float, Field(ge=0)] = 1.0
    objectness: Annotated[float, Field(ge=0)] = 1.0
    classification: Annotated[float, Field(ge=0)] = 1.0


class YOLOv3Config(AnyDetectorConfig):
    """YOLOv3: three shapes of anchors per level, objectness, sigmoid classes (`yolact/models/one_stage/heads/yolov3_head.py`).

    Defaults are darknet's. Boxes only: its levels differ in their number of channels.
    """

    inference_defaults = {  # noqa: RUF012 - a class variable of the base
        "suppression": "standard",
        "nms_iou": 0.45,
        "score_threshold": 0.005,
    }

    kind: Literal["yolov3"] = "yolov3"
    image_size: ImageSize = 416
    pixels: Literal["imagenet", "unit", "coco"] = "unit"
    backbone: BackboneConfig = BackboneConfig(name="darknet53", weights=None)
    neck: YOLOv3NeckConfig = YOLOv3NeckConfig()
    anchors: tuple[tuple[Shape, ...], tuple[Shape, ...], tuple[Shape, ...]] = (
        ((10, 13), (16, 30), (33, 23)),
        ((30, 61), (62, 45), (59, 119)),
        ((116, 90), (156, 198), (373, 326)),
    )
    """Shapes at strides 8, 16, 32, in input pixels whatever the input's size; as many at each stride."""
    mask_branch: MaskBranchConfig = NoMaskConfig()
    matching: YOLOv3MatchingConfig = YOLOv3MatchingConfig()
    loss: YOLOv3LossConfig = YOLOv3LossConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return True

    @field_validator("anchors")
    @classmethod
    def _equal_counts(cls, anchors: tuple[tuple[Shape, ...], ...]) -> tuple[tuple[Shape, ...], ...]:
        if not anchors[0] or len({len(level) for level in anchors}) != 1:
            raise ValueError(f"every stride needs the same number of anchors, got {[len(level) for level in anchors]}")
        return anchors

    @model_validator(mode="after")
    def _boxes_only(self) -> YOLOv3Config:
        refuse_masks(self.mask_branch, "whose levels have different numbers of channels")
        return self
