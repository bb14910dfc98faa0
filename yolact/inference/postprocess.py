"""From raw outputs to detections: decode, suppress, assemble.

Source: paper section 3.5; reference `layers/functions/detection.py`, `layers/output_utils.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.models.one_stage.mask_branch import MaskBranch
from yolact.ops import boxes as box_ops
from yolact.ops.masks import to_pixels
from yolact.ops.nms import suppress
from yolact.runtime.profiling import Sections, no_sections
from yolact.structures import Detections, RawOutputs


def detect(
    raw: RawOutputs,
    sizes: Sequence[tuple[int, int]],
    branch: MaskBranch,
    config: InferenceConfig,
    image_size: int,
    sections: Sections = no_sections,
    keep_prototypes: bool = False,
) -> list[Detections]:
    """Detections of every image of a batch.

    Args:
        raw: outputs for n images.
        sizes: (H, W) of the n original images; masks and boxes come out in their pixels.
        branch: assembles the masks.
        config: thresholds, suppression, crop.
        image_size: side of the network's input in pixels.
        sections: times `nms` (decoding included) and `assembly`.
        keep_prototypes: also return coefficients and prototypes, where the branch has them.
    """
    found = []
    for index, size in enumerate(sizes):
        with sections("nms"):
            boxes = box_ops.decode(raw.offsets[index], raw.anchors)
            scores = torch.softmax(raw.logits[index], dim=-1)[:, 1:]
            kept = suppress(boxes, scores, config, image_size)
            boxes, parameters = boxes[kept.anchors], raw.mask_parameters[index, kept.anchors]
        with sections("assembly"):
            maps = None if raw.maps is None else raw.maps[index]
            masks = branch.assemble(parameters, maps, boxes, size, config) if config.masks else None
            shown = (parameters, maps) if keep_prototypes and maps is not None else (None, None)
            found.append(Detections(in_pixels(boxes, size, config), kept.scores, kept.labels, masks, *shown))
    return found


def in_pixels(boxes: Tensor, size: tuple[int, int], config: InferenceConfig) -> Tensor:
    """(n, 4) xyxy fractions as a detection has them: in pixels of an image of `size` (H, W), whole ones where so configured."""
    pixels = to_pixels(boxes, size)
    return pixels.trunc() if config.whole_pixel_boxes else pixels
