"""One image of the gallery as plain data for the page: pictures as data URIs, which a page opened from a file may read."""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analysis.measures.prototypes.assembly import contributions, windows
from analysis.measures.prototypes.read import Assembly, KeptImage

LONGEST_SIDE = 640
"""Pixels of the longer side of a photo; larger ones are made smaller."""
_DIGITS = 4


def encode(image: KeptImage, assembly: Assembly, class_names: tuple[str, ...]) -> dict[str, Any]:
    """What the page loads for one image.

    Returns:
        `photo` (WebP, at most LONGEST_SIDE long); `sprite` (lossless grey WebP, all k prototypes in rows of `columns`, each
        quantised to 0..255 between its own `low` and `high`, k numbers each); `masks` (1-bit PNG, n masks of the photo's size
        one below the other; None without instances); and per instance `names`, `scores`, `windows` (x1, y1, x2, y2 in prototype
        pixels, half open), `boxes` (x1, y1, x2, y2 as fractions of the image), `coefficients` and `contributions` (k each).
    """
    photo = Image.fromarray(image.image)
    photo.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    low, high = image.prototypes.min(axis=(1, 2)), image.prototypes.max(axis=(1, 2))
    height, width = image.image.shape[:2]
    return {
        "photo": _webp(photo, quality=85),
        "sprite": _webp(Image.fromarray(_mosaic(quantised(image.prototypes))), lossless=True),
        "columns": _columns(len(image.prototypes)),
        "low": _rounded(low),
        "high": _rounded(high),
        "masks": _masks(image.masks, photo.size),
        "names": [class_names[label] for label in image.labels],
        "scores": _rounded(image.scores),
        "boxes": _rounded(image.boxes / np.array([width, height, width, height])),
        "windows": windows(image, assembly.padding).tolist(),
        "coefficients": _rounded(image.coefficients),
        "contributions": _rounded(contributions(image, assembly.padding)),
    }


def quantised(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(k, h, w) maps, each stretched from its own range to 0..255; a constant one is 0."""
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    span = np.where(high > low, high - low, 1).astype(np.float64)
    return np.round((maps - low) / span * 255).astype(np.uint8)


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _mosaic(tiles: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(k, h, w) tiles in rows of `_columns(k)`."""
    count, height, width = tiles.shape
    columns = _columns(count)
    rows = -(-count // columns)
    full = np.zeros((rows * columns, height, width), np.uint8)
    full[:count] = tiles
    return full.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)


def _masks(masks: NDArray[np.bool_], size: tuple[int, int]) -> str | None:
    """The masks at the photo's size (width, height), one below the other."""
    if not len(masks):
        return None
    whole = Image.new("1", (size[0], size[1] * len(masks)))
    for index, mask in enumerate(masks):
        whole.paste(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST), (0, index * size[1]))
    return _uri(whole, "png", optimize=True)


def _webp(picture: Image.Image, **options: Any) -> str:
    return _uri(picture, "webp", **options)


def _uri(picture: Image.Image, form: str, **options: Any) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def _rounded(numbers: NDArray[Any]) -> Any:
    """Nested lists with a few significant digits."""
    if numbers.ndim > 1:
        return [_rounded(row) for row in numbers]
    return [float(f"{number:.{_DIGITS}g}") for number in numbers]
