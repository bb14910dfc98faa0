"""Detections drawn onto their image: coloured masks, boxes, names and scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from yolact.structures import Detections

PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's colours, told apart with every common form of colour blindness (their black left out)."""
MASK_ALPHA = 0.45
"""How much of a mask's pixel is its colour: the official code's value."""


def draw(image: NDArray[np.uint8], detections: Detections, class_names: Sequence[str]) -> Image.Image:
    """The image with every detection drawn; where masks overlap, the better one lies on top and lets the other through.

    Neighbouring detections differ in colour whatever their class, since it is instances that are told apart.

    Args:
        image: (H, W, 3) RGB; not changed.
        detections: best score first.
        class_names: by label.
    """
    canvas = image.astype(np.float32)
    masks = () if detections.masks is None else detections.masks.cpu().numpy()
    for place in reversed(range(len(masks))):
        _tint(canvas, masks[place], np.array(_colour(place), np.float32))
    picture = Image.fromarray(canvas.round().astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=_font_size(image.shape[0]))
    boxes, scores, labels = detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist()
    for place in reversed(range(len(detections))):
        _draw_box(pen, font, boxes[place], f"{class_names[labels[place]]} {scores[place]:.2f}", _colour(place))
    return picture


def _tint(canvas: NDArray[np.float32], mask: NDArray[np.bool_], colour: NDArray[np.float32]) -> None:
    """Blend a colour into what the mask covers, looking at the mask's own rows and columns alone: most masks are small."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return
    across = slice(rows[0], rows[-1] + 1)
    columns = np.flatnonzero(mask[across].any(axis=0))
    part = across, slice(columns[0], columns[-1] + 1)
    region, inside = canvas[part], mask[part]
    before = region[inside]
    region[inside] = before + MASK_ALPHA * (colour - before)


def _colour(place: int) -> tuple[int, int, int]:
    return PALETTE[place % len(PALETTE)]


def _font_size(height: int) -> int:
    return max(9, min(24, height // 32))


def _draw_box(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    box: list[float],
    text: str,
    colour: tuple[int, ...],
) -> None:
    """A frame, and its label above it, or inside where there is no room above."""
    left, top, right, bottom = box
    pen.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
    _, _, width, height = pen.textbbox((0, 0), text, font=font)
    foot = top if top >= height + 2 else top + height + 2
    pen.rectangle((left, foot - height - 2, left + width + 3, foot), fill=colour)
    pen.text((left + 2, foot - height - 1), text, fill=_ink(colour), font=font)


def _ink(colour: tuple[int, ...]) -> tuple[int, int, int]:
    """Black on light colours, white on dark ones (luma of ITU-R BT.601)."""
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    return (0, 0, 0) if luma > 128 else (255, 255, 255)
