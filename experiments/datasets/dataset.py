"""The data set interface of plans and stages. Planning needs neither torch nor, for declared sets, the data.

A data set's id is a digest over its splits. A generated set's is that of its configuration. Elsewhere each split counts by
its content digest (the annotation file's bytes, the names and sizes of its images): declared, or computed for a plain folder.
A declaration may leave a digest out; the split's declared name and paths then stand in for it, so that plans need no data,
and the first stage that meets the data writes the digest down beside the results. Whatever is declared or written down is
verified when a stage starts; data that were not met before are checked in full, every image unpacked, which happens once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from yolact.config.base import nearest
from yolact.data.findings import DatasetError, Finding

if TYPE_CHECKING:
    from yolact.data.coco import CocoSplit


class Dataset(ABC):
    """A data set that a plan can name and a stage can open."""

    name: str
    id: str
    """16 hex digits; equal ids mean equal data."""
    splits: tuple[str, ...]

    def expect(self, planned_id: str) -> None:
        """Raise DatasetError unless this is the planned data set."""
        if planned_id != self.id:
            raise DatasetError(f"data set {self.name}: was {planned_id} when planned and is {self.id} now; plan again")

    @abstractmethod
    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        """Ensure that these splits (all by default) exist, as planned and without errors.

        Args:
            data_folder: the results' `data/`, where generated sets and the digests first met are kept.

        Returns:
            The root to hand to `open`.

        Raises:
            DatasetError: naming the file and the record that is wrong.
        """

    @abstractmethod
    def paths(self, split: str, root: Path) -> tuple[Path, Path]:
        """(images folder, annotation file) of a split. Raises DatasetError if the split does not exist."""

    @abstractmethod
    def files_root(self) -> Path:
        """The folder of its files, for callers without a results folder.

        Raises:
            DatasetError: it is generated on first use, so it has no files yet.
        """

    @abstractmethod
    def check(self) -> list[Finding]:
        """All faults of its files; every image and mask is decoded.

        Raises:
            DatasetError: as `files_root`.
        """

    @abstractmethod
    def describe(self) -> str:
        """Short description of the location and presence of its files."""

    def open(self, split: str, root: Path) -> CocoSplit:
        """Load a split from the root that `ensure` gave."""
        from yolact.data.coco import CocoSplit

        return CocoSplit(*self.paths(split, root))

    def _check_name(self, split: str) -> None:
        if split not in self.splits:
            raise DatasetError(f"data set {self.name}: no split {split!r}{nearest(split, list(self.splits))}")
