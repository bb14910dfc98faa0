"""How raw outputs become detections: nothing here changes a weight, so variants of it share one training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from yolact.config.base import Config
from yolact.config.engine import EngineConfig
from yolact.config.fields import AfterNetwork, Fraction, Positive
from yolact.config.interventions import Intervention, NoIntervention


class MatrixNMSConfig(Config):
    """Matrix NMS: scores fall with the overlap of better masks, and nothing is removed by it (`yolact/ops/mask_nms.py`)."""

    kernel: Literal["gaussian", "linear"] = "gaussian"
    """How a score falls with the IoU x: by exp(-sigma x²), or by 1 - x."""
    sigma: Annotated[float, Field(gt=0)] = 2.0
    """Of the Gaussian. The paper's form exp(-x² / sigma) has its inverse."""
    score_threshold: Fraction = 0.05
    """Detections whose score has fallen below this are dropped."""


class InferenceConfig(Config):
    """Decoding, suppression and mask assembly (`Model.postprocess`, `yolact/models/base.py`)."""

    suppression: Annotated[
        Literal["fast", "standard", "traditional", "cross_class", "none", "matrix", "greedy_mask"], AfterNetwork()
    ] = "fast"
    """Which non-maximum suppression: of boxes (`yolact/ops/nms.py`), or "matrix" and "greedy_mask" of masks, where masks come
    first (`yolact/ops/mask_nms.py`)."""
    nms_iou: Annotated[Fraction, AfterNetwork()] = 0.5
    """A box that overlaps a better one by more than this is removed (traditional NMS: by this or more)."""
    score_threshold: Annotated[Fraction, AfterNetwork()] = 0.05
    """Anchors whose best foreground probability is not above this are dropped before suppression."""
    second_score_threshold: Annotated[bool, AfterNetwork()] = False
    """Also drop each class score not above `score_threshold` after Fast NMS. Off in the official code (+0.2 mAP)."""
    pre_nms_top_k: Annotated[Positive, AfterNetwork()] = 200
    """Fast NMS looks at this many best boxes per class; cross-class NMS, and suppression of masks, at this many in all."""
    # left out of plain data at its default, so that what describes older inference keeps its bytes
    level_top_k: Annotated[Positive | None, AfterNetwork()] = Field(default=None, exclude_if=lambda value: value is None)
    """Greedy NMS looks at this many best pairs of a location and a class on each pyramid level; null at all above
    `score_threshold`. RetinaNet and FCOS: 1000."""
    max_detections: Annotated[Positive, AfterNetwork()] = 100
    """Detections kept per image after suppression."""
    cap_cross_class: Annotated[bool, AfterNetwork()] = False
    """Hold cross-class NMS to `max_detections` too. The official code returns up to `pre_nms_top_k`."""
    masks: bool = True
    """Make masks. Without, protonet, coefficients and assembly are left out, and detections are boxes alone."""
    crop: Annotated[bool, AfterNetwork()] = True
    """Zero each mask outside its predicted box. Read by the prototypes branch, and where the masks of SOLOv2 are
    assembled again; SOLO crops nothing."""
    crop_padding: Annotated[int, Field(ge=0), AfterNetwork()] = 1
    """Padding of that crop in prototype pixels."""
    mask_threshold: Annotated[Fraction, AfterNetwork()] = 0.5
    """A pixel belongs to the mask when its probability, upsampled to the image, is above this."""
    # left out of plain data at their defaults, so that what describes an older run keeps its bytes
    mask_voting: Annotated[bool, AfterNetwork()] = Field(default=True, exclude_if=lambda value: value)
    """Make a mask of the votes of all regions around it, and its box of the mask. Read by FCIS and MNC only."""
    region_passes: Annotated[Literal[1, 2], AfterNetwork()] = Field(default=2, exclude_if=lambda value: value == 2)
    """Score the proposals, or also the regions that they are moved to. Read by FCIS only."""
    rescore_masks: Annotated[bool, AfterNetwork()] = Field(default=True, exclude_if=lambda value: value)
    """Rank masks by the score that the network gives them, where it re-scores; else by their class scores."""
    whole_pixel_boxes: Annotated[bool, AfterNetwork()] = False
    """Cut the corners of the boxes that come out to whole pixels, towards 0, as the official code does. Masks don't change."""
    # left out of plain data at their defaults, so that what describes an older run keeps its bytes
    matrix: Annotated[MatrixNMSConfig, AfterNetwork()] = Field(
        default=MatrixNMSConfig(), exclude_if=lambda value: value == MatrixNMSConfig()
    )
    """Read by `suppression: matrix`."""
    peaks: Annotated[Literal["corner", "peak", "none"], AfterNetwork()] = Field(
        default="corner", exclude_if=lambda value: value == "corner"
    )
    """SOLO: a cell counts only if no neighbour has a higher score for its class. Official quirk: "corner" looks at the left,
    the upper and the upper-left neighbour; "peak" looks at all eight, "none" at no one."""
    maskness: Annotated[bool, AfterNetwork()] = Field(default=True, exclude_if=lambda value: value)
    """SOLO: multiply each score by the mean probability inside its mask."""
    engine: EngineConfig = EngineConfig()
    """What carries all this out."""
    intervention: Intervention = NoIntervention()
    """A change to what the network found, before it is evaluated. Measures other than AP see that of the padding alone."""
