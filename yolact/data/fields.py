"""Faults of single fields of COCO records, of annotations and detections alike."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

FARTHEST = 1e15
"""Largest absolute value of a number: products of larger ones overflow, and IoUs would be undefined."""
MOST_PIXELS = 2**16 - 1
"""Largest width and height of an image."""


class Fault(NamedTuple):
    """What is wrong with a field, and how to mend it."""

    what: str
    what_to_do: str

    def __str__(self) -> str:
        return f"{self.what}; {self.what_to_do}"


def is_number(value: Any) -> bool:
    """Whether the value is a finite int or float (JSON as Python reads it may hold NaN, Infinity and huge integers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < FARTHEST if isinstance(value, int) else math.isfinite(value)


def is_integer(value: Any) -> bool:
    """Whether the value is an int that fits 63 bits; True and False are not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def record_fault(record: Any, keys: Sequence[str]) -> Fault | None:
    """A record that is not an object, or lacks some of these keys."""
    if not isinstance(record, dict):
        return Fault(f"is {type(record).__name__}, not an object", "write an object with " + ", ".join(keys))
    missing = [key for key in keys if key not in record]
    return Fault("lacks " + ", ".join(missing), "add what is missing") if missing else None


def reference_fault(record: dict[str, Any], key: str, known: Container[int]) -> Fault | None:
    """An `image_id` or `category_id` that is not among the known ids."""
    value = record[key]
    if is_integer(value) and value in known:
        return None
    return Fault(f"unknown {key} {value!r}", f"add a sound {key.removesuffix('_id')} record with this id or correct {key}")


def size_fault(image: dict[str, Any]) -> Fault | None:
    """An image record's `width` and `height`."""
    sides: tuple[Any, Any] = (image.get("width"), image.get("height"))
    if all(is_integer(side) and 0 < side <= MOST_PIXELS for side in sides):
        return None
    return Fault(f"width {sides[0]!r}, height {sides[1]!r}", f"write both as integers of 1 to {MOST_PIXELS} pixels")


def box_fault(box: Any) -> Fault | None:
    """A `bbox` that is not [x, y, width, height]; sides of 0 are allowed."""
    numbers = isinstance(box, list | tuple) and len(box) == 4 and all(is_number(value) for value in box)
    if not numbers or max(map(abs, box)) > FARTHEST:
        return Fault(f"bbox is {box!r}", f"write four finite numbers [x, y, width, height], all within {FARTHEST:g}")
    if min(box[2:]) < 0:
        return Fault(f"bbox {box} has a negative side", "write [x, y, width, height], not two corners")
    return None


def area_fault(area: Any) -> Fault | None:
    """An `area` that is not a finite number from 0."""
    return None if is_number(area) and area >= 0 else Fault(f"area is {area!r}", "write the mask's number of pixels")
