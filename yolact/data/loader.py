"""Training batches: an endless stream of shuffled epochs, cut into batches, the same for any number of workers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from yolact.config import AugmentationConfig
from yolact.data.augmentation import training_sample
from yolact.data.coco import CocoSplit, Instances
from yolact.data.findings import DatasetError
from yolact.errors import UserError
from yolact.structures import Target

CACHE_BYTES = 512 * 2**20
"""Decoded images and masks are kept up to this much, over all workers together."""


def derived_seed(*parts: int | str) -> int:
    """A seed of 63 bits that depends on all parts, the same on every machine."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


class TrainingBatches:
    """Iterates over batches `start_iteration` .. `iterations` − 1 of the stream that the seed defines.

    Each epoch is a permutation of the images, the next follows without a gap, and a batch may span two; so a batch may be
    larger than the data set. Sample p of the stream is image permutation(seed, epoch)[p mod images], augmented by a seed
    from (seed, epoch, image id). Batch i is the same whatever `start_iteration` and `workers` are.

    Each batch is (images (n, 3, S, S) float32 in 0..255, list of n targets).

    Args:
        augmentation: None for none.
        image_size: side S of the network's input.
        iterations: where the stream ends.
        skip_empty: leave out images without any annotation, as the official code does.
        workers: background processes that prepare batches; 0 prepares them here.
        pinned: put batches into page-locked memory, from which a GPU copies while the host goes on; there must be one.
        rank, ranks: of `ranks` processes that train together, the one that these batches are for. Process r gets the r-th of
            `ranks` equal, consecutive parts of each batch; all processes' parts together are the batch.

    Raises:
        UserError: if `batch_size` can't be split equally.
        DatasetError: if no image is left, or (while iterating) an image cannot be read.
    """

    def __init__(
        self,
        split: CocoSplit,
        augmentation: AugmentationConfig | None,
        image_size: int,
        batch_size: int,
        seed: int,
        *,
        iterations: int,
        start_iteration: int = 0,
        skip_empty: bool = True,
        workers: int = 0,
        pinned: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        if batch_size % ranks:
            raise UserError(f"a batch of {batch_size} images can't be split equally over {ranks} processes")
        self._stream = _Stream(split, augmentation, image_size, seed, skip_empty, CACHE_BYTES // (max(workers, 1) * ranks))
        self._batches = _Batches(range(start_iteration, iterations), batch_size, rank, ranks)
        self._workers, self._pinned = workers, pinned

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[tuple[Tensor, list[Target]]]:
        loader = DataLoader(
            self._stream,
            batch_sampler=self._batches,
            num_workers=self._workers,
            pin_memory=self._pinned,
            collate_fn=_collate,
            generator=torch.Generator(),  # else DataLoader draws from the global generator
        )
        for batch in loader:
            if isinstance(batch, UserError):
                raise batch
            yield batch


@dataclass(frozen=True)
class _Batches:
    """Positions in the stream of one process's part of each batch."""

    iterations: range
    batch_size: int
    rank: int
    ranks: int

    def __len__(self) -> int:
        return len(self.iterations)

    def __iter__(self) -> Iterator[list[int]]:
        size = self.batch_size // self.ranks
        for iteration in self.iterations:
            start = iteration * self.batch_size + self.rank * size
            yield list(range(start, start + size))


class _Stream(Dataset):
    """Sample by position in the stream."""

    def __init__(
        self,
        split: CocoSplit,
        augmentation: AugmentationConfig | None,
        image_size: int,
        seed: int,
        skip_empty: bool,
        cache_bytes: int,
    ) -> None:
        self.split = split
        self.augmentation = augmentation
        self.image_size = image_size
        self.seed = seed
        self.image_ids = [image_id for image_id in split.image_ids if split.count(image_id) or not skip_empty]
        if not self.image_ids:
            raise DatasetError("no image of the training split has an annotation; annotate some, or keep empty images")
        self._cache: dict[int, tuple[Tensor, Instances]] = {}
        self._room = cache_bytes

    def __getitem__(self, position: int) -> tuple[Tensor, Target] | UserError:
        epoch, index = divmod(position, len(self.image_ids))
        image_id = self.image_ids[_permutation(self.seed, epoch, len(self.image_ids))[index]]
        try:
            image, instances = self._decoded(image_id)
        except UserError as error:
            return error  # raised by the reader: a worker process would wrap it in its traceback
        seed = derived_seed("sample", self.seed, epoch, image_id)
        return training_sample(image, instances, self.augmentation, self.image_size, seed, image_id)

    def _decoded(self, image_id: int) -> tuple[Tensor, Instances]:
        if image_id in self._cache:
            return self._cache[image_id]
        decoded = self.split.image(image_id), self.split.instances(image_id)
        size = decoded[0].numel() + decoded[1].patches.bytes
        if size <= self._room:
            self._cache[image_id] = decoded
            self._room -= size
        return decoded


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(derived_seed("order", seed, epoch))
    return torch.randperm(count, generator=generator).tolist()


def _collate(samples: list[tuple[Tensor, Target] | UserError]) -> tuple[Tensor, list[Target]] | UserError:
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
    images, targets = zip(*samples, strict=True)
    return torch.stack(images), list(targets)
