"""The importer interface: converts data of another format to a COCO-format folder."""

from __future__ import annotations

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yolact.config import Config
from yolact.data.findings import DatasetError

Track = Callable[[list[Any], str], Iterable[Any]]
"""Shows how far a loop over a split is: (what the loop goes over, split) to the same."""


@dataclass
class Imported:
    """Result of an import."""

    images: dict[str, int] = field(default_factory=dict)
    """By split."""
    objects: dict[str, int] = field(default_factory=dict)
    """By split, without crowds."""
    left_out: list[str] = field(default_factory=list)
    """A sentence per object that could not be imported."""

    def add(self, split: str, data: dict[str, Any]) -> None:
        """Count a split's annotations."""
        self.images[split] = len(data["images"])
        self.objects[split] = sum(not annotation["iscrowd"] for annotation in data["annotations"])

    def __str__(self) -> str:
        return "; ".join(f"{split}: {count} images, {self.objects[split]} objects" for split, count in self.images.items())


class Importer(Config, ABC):
    """One format. Its fields are the options of the import."""

    @abstractmethod
    def splits(self, source: str, images: Path, track: Track, imported: Imported) -> Iterable[tuple[str, dict[str, Any]]]:
        """Yield each (split, data in COCO's instances format), after writing its images to the folder `images/<split>`.

        Args:
            source: the user's argument: a folder, or a data set.
            imported: collects descriptions of omitted objects.

        Raises:
            UserError: something in the source is missing, broken or at odds with the rest.
        """

    def run(self, source: str, out: Path, track: Track = lambda items, split: items) -> Imported:
        """Write `annotations/instances_<split>.json` and `<split>/` for every split. The same source gives the same bytes.

        Args:
            out: must not exist; appears only once it is whole.

        Raises:
            UserError: as `splits`, or `out` exists.
        """
        if out.exists():
            raise DatasetError(f"{out}: exists already; choose another folder, or delete it")
        aside = out.with_name(f".{out.name}.{os.getpid()}.tmp")
        imported = Imported()
        try:
            (aside / "annotations").mkdir(parents=True)
            for split, data in self.splits(source, aside, track, imported):
                (aside / "annotations" / f"instances_{split}.json").write_text(json.dumps(data), encoding="utf-8")
                imported.add(split, data)
            os.sync()
            aside.rename(out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return imported
