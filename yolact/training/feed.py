"""Batches on their way to the device. On a GPU the next one is copied while the step in progress runs; on the CPU nothing is
done ahead.

A batch is (images (n, 3, S, S) float32 in 0..255, list of n targets).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from yolact.structures import Target

Batch = tuple[Tensor, list[Target]]


class Lane(Protocol):
    """Where copies run beside the device's other work."""

    def copied(self, batch: Batch) -> Batch:
        """Begin to copy a batch; the result may be used after `join`."""

    def join(self, batch: Batch) -> None:
        """Have the device's work from here on wait for the copies."""


class Feed:
    """The batches of a training, one at a time.

    Args:
        batches: the loader's; not asked for more than `most`.
        most: how many steps there will be.
        device: "cpu" or "cuda".
    """

    def __init__(self, batches: Iterator[Batch], most: int, device: str) -> None:
        self._batches = islice(batches, most)
        self._device = device
        self._lane = lane_of(device)
        self._ahead: Batch | Exception | None = None

    def look_ahead(self) -> None:
        """On a GPU, get the next batch and begin to copy it; call this when the device has work to do. What the loader raises
        is kept until that batch is due."""
        if self._lane is None:
            return
        try:
            self._ahead = self._next()
        except Exception as error:
            self._ahead = error

    def take(self) -> Batch | None:
        """The next batch, to be given to `place`; None where there are no more. Raises what the loader raises."""
        ahead, self._ahead = self._ahead, None
        if isinstance(ahead, Exception):
            raise ahead
        return ahead or self._next()

    def place(self, batch: Batch) -> Batch:
        """The batch on the device, its images channels-last, for the device's work from here on."""
        if self._lane is None:
            return _to(self._device, batch)
        self._lane.join(batch)
        return batch

    def _next(self) -> Batch | None:
        batch = next(self._batches, None)
        return batch if batch is None or self._lane is None else self._lane.copied(batch)


class SideStream:
    """Copies from pinned memory on a CUDA stream of their own."""

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()

    def copied(self, batch: Batch) -> Batch:
        images, targets = batch
        pinned = images.pin_memory(), [target.pin_memory() for target in targets]  # nothing to do where the loader did
        with torch.cuda.stream(self._stream):
            return _to("cuda", pinned)

    def join(self, batch: Batch) -> None:
        current = torch.cuda.current_stream()
        current.wait_stream(self._stream)
        images, targets = batch
        for tensor in (images, *(each for target in targets for each in target.tensors)):
            tensor.record_stream(current)  # else its memory could be given away while the step still reads it


def lane_of(device: str) -> Lane | None:
    """A GPU's, or None."""
    return SideStream() if device.startswith("cuda") else None


def _to(device: str, batch: Batch) -> Batch:
    images, targets = batch
    placed = images.to(device, non_blocking=True, memory_format=torch.channels_last)
    return placed, [target.to(device) for target in targets]
