"""Sequences made of still images by a camera that slides over them, so that annotated images become frames of known motion.

A window a little smaller than the image moves over it with constant velocity, in whole pixels of the image enlarged so far that
they are fractions of a pixel to the network (`yolact/data/synthetic/motion.py` says why).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolact.data.coco import CocoSplit
from yolact.data.synthetic.motion import MIN_IN_SIGHT, Frame, areas, bounced, drawn_velocity

WINDOW = 0.875
"""Side of the window as a fraction of the image's."""
_SEED = 9


def moving_camera(split: CocoSplit, image_id: int, frames: int, network_size: int) -> Iterator[Frame]:
    """Frames of one image. Crowd regions are no objects; what is not annotated moves as everything does.

    Args:
        network_size: side of the network's input in pixels; along each axis the window moves by about one of them, at most.
    """
    random = np.random.RandomState([_SEED, image_id % 2**32])
    image, instances = split.image(image_id).permute(1, 2, 0).numpy(), split.instances(image_id)
    enlarge = max(1, round(2 * network_size / max(image.shape[:2])))
    kept = (~instances.crowd).numpy()
    masks = (instances.masks.numpy()[kept] > 0).repeat(enlarge, 1).repeat(enlarge, 2)
    labels = instances.labels.numpy()[kept]
    whole = areas(masks)
    height, width = image.shape[0] * enlarge, image.shape[1] * enlarge
    window = int(height * WINDOW), int(width * WINDOW)
    pixels = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    velocity = drawn_velocity(random, max(1, round(max(window) / network_size)))
    slack = width - window[1], height - window[0]
    start = [int(random.randint(0, most + 1)) for most in slack]
    for number in range(frames):
        left, top = (_corner(place, step, number, most) for place, step, most in zip(start, velocity, slack, strict=True))
        part = np.s_[top : top + window[0], left : left + window[1]]
        seen = masks[:, part[0], part[1]]
        moved: NDArray[np.int64] = np.array([start[0] - left, start[1] - top], np.int64)  # things go against the camera
        visible = areas(seen) >= MIN_IN_SIGHT * np.maximum(whole, 1)
        yield Frame(np.ascontiguousarray(pixels[part]), labels, seen, visible, np.tile(moved, (len(labels) + 1, 1)))


def _corner(start: int, step: int, number: int, most: int) -> int:
    return bounced(start + number * step, 0, most) if most else 0
