"""Masks: upsampling in bounded memory, pasting, downsampling.

n instances, k prototypes of (h, w), image (H, W). Boxes are xyxy as fractions of the image's sides.
Source: paper section 3.3; reference `layers/output_utils.py`, `layers/box_utils.py` crop and sanitize_coordinates.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import clip_boxes_to_image

from yolact.ops.boxes import ordered
from yolact.ops.resampling import sample_matrix, stretch_matrix

_CHUNK_PIXELS = 2**24
"""Upsampled mask pixels held in float at a time: 64 MiB."""


def binarize(masks: Tensor, size: tuple[int, int], threshold: float = 0.5, through: tuple[int, int] | None = None) -> Tensor:
    """Upsample (n, h, w) probabilities bilinearly to (n, H, W) and compare with `threshold`: bool.

    Works through the instances in chunks, so that the float maps never take more than 64 MiB (or one instance's worth).

    Args:
        through: a size on the way, where they are upsampled in two steps.
    """
    if not len(masks):  # interpolate refuses an empty tensor
        return masks.new_zeros((0, *size), dtype=torch.bool)
    steps = (size,) if through in (None, size) else (through, size)
    found = []
    for part in masks.split(min(map(instances_at_once, steps))):
        for each in steps:
            part = F.interpolate(part[None], size=each, mode="bilinear", align_corners=False)[0]
        found.append(part > threshold)
    return torch.cat(found)


def to_pixels(boxes: Tensor, size: tuple[int, int], clip: bool = True) -> Tensor:
    """(n, 4) xyxy fractions to pixels of an image of `size` (H, W): corners put in order and, with `clip`, clamped to the
    image."""
    height, width = size
    x1, x2 = ordered(boxes[:, 0] * width, boxes[:, 2] * width)
    y1, y2 = ordered(boxes[:, 1] * height, boxes[:, 3] * height)
    pixels = torch.stack([x1, y1, x2, y2], dim=1)
    return clip_boxes_to_image(pixels, size) if clip else pixels


def centres_of_mass(masks: Tensor) -> Tensor:
    """(n, 2) float32 x, y: the mean whole-pixel coordinate over each of (n, H, W) 0/1 masks; NaN for an empty mask."""
    across, down = masks.sum(dim=1), masks.sum(dim=2)  # (n, W), (n, H) int64
    sums = [(line * torch.arange(line.shape[1], device=line.device)).sum(dim=1) for line in (across, down)]
    return (torch.stack(sums, dim=1) / across.sum(dim=1, keepdim=True).double()).float()


def paste(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Stretch (n, s, s) box-sized probabilities bilinearly over their boxes and compare with `threshold`.

    Args:
        masks: (n, s, s) float in [0, 1], the frame of each box.
        boxes: (n, 4) xyxy pixels of the image; whole pixels of the truncated box are filled, as the reference does.
        size: (H, W) of the image.

    Returns:
        (n, H, W) bool.
    """
    chunk = instances_at_once(size)
    whole = boxes.trunc()
    parts = []
    for mask, box in zip(masks.split(chunk), whole.split(chunk), strict=True):
        rows = stretch_matrix(box[:, 1], box[:, 3], size[0], masks.shape[-2])  # (n, H, s)
        columns = stretch_matrix(box[:, 0], box[:, 2], size[1], masks.shape[-1])  # (n, W, s)
        parts.append(rows @ mask @ columns.transpose(1, 2) > threshold)
    return torch.cat(parts)


def sample(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Read (n, s, s) box-sized probabilities at the centre of every pixel and compare with `threshold`.

    They are read bilinearly, with zeros outside. Unlike `paste` it cuts no box to whole pixels, and a pixel that equals the
    threshold belongs to the mask.
    Source: detectron2 `layers/mask_ops.py`, which samples the same by `F.grid_sample`.

    Args:
        masks: (n, s, s) float in [0, 1], the frame of each box.
        boxes: (n, 4) xyxy pixels of the image; an empty one has an empty mask.
        size: (H, W) of the image.

    Returns:
        (n, H, W) bool.
    """
    chunk = instances_at_once(size)
    parts = []
    for mask, box in zip(masks.split(chunk), boxes.split(chunk), strict=True):
        rows = sample_matrix(box[:, 1], box[:, 3], size[0], masks.shape[-2])  # (n, H, s)
        columns = sample_matrix(box[:, 0], box[:, 2], size[1], masks.shape[-1])  # (n, W, s)
        parts.append((rows @ mask @ columns.transpose(1, 2) >= threshold) & (rows.any(2)[:, :, None] & columns.any(2)[:, None]))
    return torch.cat(parts)


def paste_padded(masks: Tensor, boxes: Tensor, size: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Surround (n, s, s) box-sized probabilities with empty cells, stretch them over their boxes, which grow likewise and are
    cut to whole pixels, and compare with `threshold`.

    Args:
        masks: (n, s, s) float in [0, 1], the frame of each box.
        boxes: (n, 4) xyxy pixels of the image.
        size: (H, W) of the image.

    Returns:
        (n, H, W) bool.

    Source: torchvision's Mask R-CNN, after Detectron. One mask at a time, so that only one float map is held.
    """
    pairs = zip(masks, boxes, strict=True)
    pasted = [paste_masks_in_image(mask[None, None], box[None], size)[0, 0] > threshold for mask, box in pairs]
    return torch.stack(pasted) if pasted else masks.new_zeros((0, *size), dtype=torch.bool)


def tight_boxes(masks: Tensor) -> Tensor:
    """(d, 4) float32 xyxy around (d, H, W) bool masks; around an empty one, the image's centre without extent."""
    height, width = masks.shape[-2:]
    sides = []
    for line, length in ((masks.any(dim=1), width), (masks.any(dim=2), height)):
        place = torch.arange(length, device=masks.device)
        first = torch.where(line, place, length).amin(dim=1)
        last = torch.where(line, place + 1, 0).amax(dim=1)
        empty = ~line.any(dim=1)
        sides.append([torch.where(empty, length / 2, end.float()) for end in (first, last)])
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], dim=1)


def instances_at_once(size: tuple[int, int]) -> int:
    """How many masks of `size` (H, W) are upsampled in float at a time."""
    return max(1, _CHUNK_PIXELS // max(1, size[0] * size[1]))


def downsample(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """(n, S, S) 0/1 masks to (n, h, w) float 0/1: bilinear, then above one half (reference: `.gt(0.5)`)."""
    if not len(masks):
        return masks.new_zeros((0, *size), dtype=torch.float32)
    # images of one channel: one image of n channels would be converted to channels last, in four times the time
    return (F.interpolate(masks[:, None].float(), size=size, mode="bilinear", align_corners=False)[:, 0] > 0.5).float()
