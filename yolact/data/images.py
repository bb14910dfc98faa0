"""From image files to pixels. Every stored form becomes 8-bit RGB, as OpenCV (hence the official code) would read it:

grey and palette      spread over three channels, palettes looked up
alpha                 dropped, not blended
16 bits a channel     the high byte (value >> 8)
CMYK, YCbCr, ...      Pillow's plain conversion, without colour profiles
several frames        the first
EXIF orientation      applied, unless only the pixels as stored have the size that the annotations give

The last rule: annotations are drawn in viewers that obey the orientation, and OpenCV obeys it too; but some exporters
took width and height from the file's header, and then the masks lie in the stored frame.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from yolact.data.findings import DatasetError

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""Pillow's other decoders stay closed to data sets; some of them start programs."""
MAX_PIXELS = 80_000_000
"""Larger images are refused: a small file may unpack to fill the memory."""
_ORIENTATION = 0x0112
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)


def image_path(folder: Path, file_name: str) -> Path:
    """Where an image record's file lies.

    Raises:
        DatasetError: if the name leads out of the folder: absolute, through "..", or through a symbolic link.
    """
    path = folder / file_name
    name = Path(file_name)
    inside = "\0" not in file_name and file_name != "" and not name.is_absolute() and ".." not in name.parts
    if inside:
        root = _resolved(folder)
        target = _resolved(path.parent) / path.name
        inside = (Path(os.path.realpath(target)) if target.is_symlink() else target).is_relative_to(root)
    if not inside:
        raise DatasetError(
            f"file_name {file_name!r} leads out of the images folder {folder}; move the file inside and name it relative to it"
        )
    return path


def read_image(path: Path, size: tuple[int, int] | None = None):
    """The pixels of an image file as a (3, H, W) uint8 tensor, RGB.

    Args:
        size: (height, width) according to the annotations; decides whether EXIF orientation is applied. None: it is.

    Raises:
        DatasetError: if the file is missing, broken, of a kind that is not read, or not of this size.
    """
    import torch

    return torch.from_numpy(np.ascontiguousarray(read_pixels(path, size).transpose(2, 0, 1)))


def read_pixels(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """As `read_image`, as an (H, W, 3) uint8 array and without torch."""
    with open_image(path) as image:
        try:
            turn = _turn(image, size)
            rgb = to_rgb(image)
        except DatasetError as error:
            raise DatasetError(f"{path}: {error}") from None
        except Exception as error:  # whatever a decoder trips over, the file is at fault
            raise DatasetError(f"{path}: the image is broken or cut short ({error}); replace the file") from None
        pixels = np.asarray(rgb.transpose(turn) if turn is not None else rgb)
    if size is not None and pixels.shape[:2] != tuple(size):
        raise DatasetError(f"{path}: {size_mismatch(pixels.shape[:2], size)}; correct the annotations or the file")
    return pixels


def verify_image(path: Path) -> None:
    """Compare the checksums that a file holds about itself (PNG does), which unpacking leaves aside.

    Raises:
        DatasetError: if they disagree.
    """
    with open_image(path) as image:
        try:
            image.verify()
        except Exception as error:  # whatever a decoder trips over, the file is at fault
            raise DatasetError(f"{path}: the image is broken ({error}); replace the file") from None


def open_image(path: Path) -> Image.Image:
    """Open a file and read its header.

    Raises:
        DatasetError: if it is missing, unreadable, not an image, or too large.
    """
    try:
        image = Image.open(path, formats=FORMATS)
    except FileNotFoundError:
        raise DatasetError(f"{path}: the image is missing; put it there or remove its record") from None
    except Image.DecompressionBombError:
        raise DatasetError(f"{path}: the image has more than {MAX_PIXELS} pixels; scale it down") from None
    except Image.UnidentifiedImageError:
        raise DatasetError(f"{path}: not an image of a kind that is read ({', '.join(FORMATS)}); convert it") from None
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror or error}); make it a readable image file") from None
    except Exception as error:  # whatever a decoder trips over, the file is at fault
        raise DatasetError(f"{path}: the image is broken ({error}); replace the file") from None
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise DatasetError(f"{path}: {image.width} x {image.height} are more than {MAX_PIXELS} pixels; scale it down")
    return image


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as 8-bit RGB by the rules at the top of this file.

    Raises:
        DatasetError: for floating-point pixels, or integers above 16 bits: their range is unknown.
    """
    if image.mode == "F":
        raise DatasetError("floating-point pixels have no known range; convert the image to 8 bits")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DatasetError("pixels beyond 16 bits; convert the image to 8 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")
    return image.convert("RGB")


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (as stored) where there is none or it makes no sense."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF leaves the pixels as they are
        return 1
    return value if value in _TURNED else 1


def shown_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) once the EXIF orientation is applied."""
    stored = (image.height, image.width)
    return stored[::-1] if orientation(image) in _SIDEWAYS else stored


def size_mismatch(actual: tuple[int, ...], size: tuple[int, int]) -> str:
    """The sentence for an image that is not as large as its record says; both are (height, width)."""
    return f"the image is {actual[1]} x {actual[0]}, the annotations say {size[1]} x {size[0]} (width x height)"


def _turn(image: Image.Image, size: tuple[int, int] | None) -> Image.Transpose | None:
    stored_only = size is not None and shown_size(image) != tuple(size) and (image.height, image.width) == tuple(size)
    return None if stored_only else _TURNED.get(orientation(image))


@lru_cache(maxsize=4096)
def _resolved(folder: Path) -> Path:
    return Path(os.path.realpath(folder))
