"""Data sets by name, by declaration file, or by folder. Neither torch nor, for declared sets, the data is needed to plan.

A data set's id is a digest over its splits. A generated set's is that of its configuration. Elsewhere each split counts by
its content digest (the annotation file's bytes, the names and sizes of its images): declared, or computed for a plain folder.
A declaration may leave a digest out; the split's declared name and paths then stand in for it, so that plans need no data,
and the first stage that meets the data writes the digest down beside the results. Whatever is declared or written down is
verified when a stage starts; data that were not met before are checked in full, every image unpacked, which happens once.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.datasets.declarations import (
    DECLARATIONS,
    CocoDeclaration,
    ShapesDeclaration,
    SplitConfig,
    datasets_folder,
    declared_names,
    digest_of,
    read_declaration,
    split_digest,
)
from yolact.config.base import nearest
from yolact.data.findings import DatasetError, stop_on_errors
from yolact.runtime import files

if TYPE_CHECKING:
    from yolact.data.coco import CocoSplit


class Dataset(ABC):
    """A data set that a plan can name and a stage can open."""

    name: str
    id: str
    """16 hex digits; equal ids mean equal data."""
    splits: tuple[str, ...]

    def expect(self, planned_id: str) -> None:
        """Raise DatasetError unless this is the data set that was planned with."""
        if planned_id != self.id:
            raise DatasetError(f"data set {self.name}: was {planned_id} when planned and is {self.id} now; plan again")

    @abstractmethod
    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        """Make sure that these splits (all by default) are there, as planned and without errors.

        Args:
            data_folder: the results' `data/`, where generated sets and the digests first met are kept.

        Returns:
            The root to hand to `open`.

        Raises:
            DatasetError: naming the file and the record that is wrong.
        """

    @abstractmethod
    def paths(self, split: str, root: Path) -> tuple[Path, Path]:
        """(images folder, annotation file) of a split. Raises DatasetError where there is no such split."""

    def open(self, split: str, root: Path) -> CocoSplit:
        """Load a split from the root that `ensure` gave."""
        from yolact.data.coco import CocoSplit

        return CocoSplit(*self.paths(split, root))

    def _check_name(self, split: str) -> None:
        if split not in self.splits:
            raise DatasetError(f"data set {self.name}: no split {split!r}{nearest(split, list(self.splits))}")


class ShapesDataset(Dataset):
    """Generated on first use."""

    splits = ("train", "val", "test")

    def __init__(self, declaration: ShapesDeclaration) -> None:
        self.name = declaration.name
        self.config = declaration.shapes
        self.id = digest_of({"shapes": self.config.to_data()})

    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        from yolact.data.synthetic.shapes import generate_shapes

        root = data_folder / f"{self.name}-{self.id}"
        generate_shapes(root, self.config)
        return root

    def paths(self, split: str, root: Path) -> tuple[Path, Path]:
        self._check_name(split)
        return root / split, root / "annotations" / f"instances_{split}.json"


class CocoDataset(Dataset):
    """Files of the user's."""

    def __init__(self, name: str, root: Path, splits: Mapping[str, SplitConfig]) -> None:
        self.name = name
        self.root = root
        self.splits = tuple(splits)
        self.split_configs = splits

    @cached_property
    def id(self) -> str:  # type: ignore[override]
        known = {name: split.digest or {"data": self.name, **split.to_data()} for name, split in self.split_configs.items()}
        return digest_of({"splits": known})

    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        from yolact.data.check import check_splits

        chosen = {split: self.paths(split, self.root) for split in (self.splits if splits is None else splits)}
        if not self.root.is_dir():
            place = f"data set {self.name}: {self.root} is missing"
            raise DatasetError(f"{place}; put the data there, or point YOLACT_DATA at the datasets folder")
        digests = {split: split_digest(*paths) for split, paths in chosen.items()}
        known = {split: _read_record(self._record(split, data_folder)) for split in chosen}
        if known != digests:
            stop_on_errors(check_splits(chosen))
        for split, found in digests.items():
            expected = self.split_configs[split].digest or known[split]
            if expected not in (None, found):
                what = f"the split {split!r} of {self.name} has the digest {found}, declared or first used it was {expected}"
                remedy = "restore the data, or declare what it is now under another name (`yolact data declare`)"
                raise DatasetError(f"{chosen[split][1]}: {what}; {remedy}")
            if known[split] != found:
                _write_record(self._record(split, data_folder), found)
        return self.root

    def paths(self, split: str, root: Path) -> tuple[Path, Path]:
        self._check_name(split)
        return root / self.split_configs[split].images, root / self.split_configs[split].annotations

    def _record(self, split: str, data_folder: Path) -> Path:
        """Where the digest is kept that a split had when it passed the check."""
        return data_folder / f"{self.name}-{self.id}" / f"{split}.json"


def find_dataset(name_or_path: str) -> Dataset:
    """The data set that a name in `experiments/data/`, a declaration's path, or a COCO-format folder stands for.

    Raises:
        DatasetError: if it is none of them, or the folder's layout isn't understood.
        experiments.spec.document.SpecError: if the declaration is wrong, naming file, line and field.
    """
    declared = DECLARATIONS / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if name_or_path in declared_names():
        return _from_declaration(declared)
    if path.is_dir():
        return folder_dataset(path)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return _from_declaration(path)
    hint = nearest(name_or_path, declared_names())
    raise DatasetError(f"{name_or_path!r} is no declared data set, declaration file or folder{hint}")


def folder_dataset(folder: Path, name: str | None = None) -> CocoDataset:
    """A COCO-format folder: `annotations/instances_<split>.json` beside `<split>/`, `images/<split>/` or `images/`.

    `train2017` and the like are taken for `train`, and so for `val` and `test`.
    """
    found: dict[str, SplitConfig] = {}
    for file in sorted((folder / "annotations").glob("instances_*.json")):
        full = file.stem.removeprefix("instances_")
        split = re.sub(r"^(train|val|test)\d{4}$", r"\1", full)
        if split in found:
            both = f"{found[split].annotations} and annotations/{file.name}"
            raise DatasetError(f"{folder}: {both} both look like the split {split!r}; write a declaration that names one")
        candidates = list(dict.fromkeys((full, f"images/{full}", split, f"images/{split}", "images")))
        images = next((candidate for candidate in candidates if (folder / candidate).is_dir()), None)
        if images is None:
            raise DatasetError(f"{file}: found none of the image folders {', '.join(candidates)} in {folder}; add one")
        annotations = f"annotations/{file.name}"
        digest = split_digest(folder / images, folder / annotations)
        found[split] = SplitConfig(images=images, annotations=annotations, digest=digest)
    if not found:
        raise DatasetError(f"{folder}: there is no annotations/instances_<split>.json; arrange the folder as COCO's")
    return CocoDataset(name or re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_") or "data", folder, found)


def declare_folder(folder: Path, name: str) -> CocoDeclaration:
    """The declaration of a COCO-format folder, digests included. Its root is relative where it lies in the datasets folder."""
    dataset = folder_dataset(folder, name)
    root, home = folder.resolve(), datasets_folder().resolve()
    place = root.relative_to(home) if root.is_relative_to(home) and root != home else root
    splits = {split: config.to_data() for split, config in dataset.split_configs.items()}
    return CocoDeclaration.from_data({"kind": "coco", "name": name, "root": place.as_posix(), "splits": splits})


def _from_declaration(path: Path) -> Dataset:
    declaration = read_declaration(path)
    if isinstance(declaration, ShapesDeclaration):
        return ShapesDataset(declaration)
    return CocoDataset(declaration.name, datasets_folder() / declaration.root, declaration.splits)


def _read_record(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text())["digest"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise DatasetError(f"{path}: cannot be read; delete it if the data are as they should be") from None


def _write_record(path: Path, digest: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(path, {"digest": digest})
    except OSError as error:
        raise DatasetError(f"{path}: cannot be written ({error.strerror}); make room, or make the folder writable") from None
