"""Data sets by name, by declaration file, or by folder. Neither torch nor, for declared sets, the data is needed to plan.

A data set's id is a digest over its splits. A generated set's is that of its configuration. Elsewhere each split counts by
its content digest (the annotation file's bytes, the names and sizes of its images): declared, or computed for a plain folder.
A declaration may leave a digest out; the split's declared name and paths then stand in for it, so that plans need no data,
and the first stage that meets the data writes the digest down beside the results. Whatever is declared or written down is
verified when a stage starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from experiments.document import read_document
from yolact import files
from yolact.config import Config
from yolact.config.base import nearest
from yolact.config.data import ShapesConfig
from yolact.data.findings import DatasetError, stop_on_errors

if TYPE_CHECKING:
    from yolact.data.coco import CocoSplit

DECLARATIONS = Path(__file__).parent / "data"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class SplitConfig(Config):
    """Where one split lies, relative to the data set's root, and what it must hold."""

    images: str
    """Folder of the images."""
    annotations: str
    """File in COCO's instances format."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """What `split_digest` gives for it; None where that isn't known."""

    @field_validator("images", "annotations")
    @classmethod
    def _inside(cls, path: str) -> str:
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise ValueError("must be a path inside the data set's root, relative to it")
        return path


class CocoDeclaration(Config):
    """A data set in COCO's format."""

    kind: Literal["coco"] = "coco"
    name: Name
    root: str
    """Its folder, relative to the datasets folder: the environment's YOLACT_DATA, or ./datasets."""
    splits: Annotated[dict[Name, SplitConfig], Field(min_length=1)]


class ShapesDeclaration(Config):
    """The generated data set."""

    kind: Literal["shapes"] = "shapes"
    name: Name
    shapes: ShapesConfig = ShapesConfig()


class Dataset(ABC):
    """A data set that a plan can name and a stage can open."""

    name: str
    id: str
    """16 hex digits; equal ids mean equal data."""
    splits: tuple[str, ...]

    @property
    def report_split(self) -> str:
        """The split that results are reported on: `test` where there is one, else `val`.

        Raises:
            DatasetError: if there is neither.
        """
        for split in ("test", "val"):
            if split in self.splits:
                return split
        raise DatasetError(f"data set {self.name}: has neither test nor val, only {', '.join(self.splits)}; declare one")

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
        self.id = _digest({"shapes": self.config.to_data()})

    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        from yolact.data.shapes import generate_shapes

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
        return _digest({"splits": known})

    def ensure(self, data_folder: Path, splits: Iterable[str] | None = None) -> Path:
        from yolact.data.check import check_splits

        chosen = {split: self.paths(split, self.root) for split in (self.splits if splits is None else splits)}
        if not self.root.is_dir():
            raise DatasetError(
                f"data set {self.name}: {self.root} is missing; put the data there, or point YOLACT_DATA at the datasets folder"
            )
        stop_on_errors(check_splits(chosen, decode=False))
        for split, (images, file) in chosen.items():
            self._verify(split, split_digest(images, file), data_folder)
        return self.root

    def paths(self, split: str, root: Path) -> tuple[Path, Path]:
        self._check_name(split)
        return root / self.split_configs[split].images, root / self.split_configs[split].annotations

    def _verify(self, split: str, found: str, data_folder: Path) -> None:
        met = data_folder / f"{self.name}-{self.id}" / f"{split}.json"
        expected, source = self.split_configs[split].digest, "declared"
        if expected is None:
            expected, source = _first_met(met, found), f"first met, see {met},"
        if expected != found:
            raise DatasetError(
                f"{self.paths(split, self.root)[1]}: the split {split!r} of {self.name} has digest {found}, {source} was "
                f"{expected}; restore the data, or declare the changed data under another name (`yolact data declare`)"
            )


def find_dataset(name_or_path: str) -> Dataset:
    """The data set that a name in `experiments/data/`, a declaration's path, or a COCO-format folder stands for.

    Raises:
        DatasetError: if it is none of them, or the folder's layout isn't understood.
        experiments.document.SpecError: if the declaration is wrong, naming file, line and field.
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


def declared_names() -> list[str]:
    """Names of the declarations in `experiments/data/`."""
    return sorted(path.stem for path in DECLARATIONS.glob("*.yaml"))


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
        candidates = (full, f"images/{full}", split, f"images/{split}", "images")
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


def datasets_folder() -> Path:
    """Where declared data sets lie: the environment's YOLACT_DATA, or ./datasets."""
    return Path(os.environ.get("YOLACT_DATA") or "datasets")


def split_digest(images: Path, annotations: Path) -> str:
    """16 hex digits of a split's annotation bytes and of the names and sizes of its images; a missing image counts as −1.

    Raises:
        DatasetError: if the annotations cannot be read.
    """
    from yolact.data.records import read_annotations

    names = {record.get("file_name") for record in read_annotations(annotations)["images"] if isinstance(record, dict)}
    sizes = [[name, _size(images / name)] for name in sorted(name for name in names if isinstance(name, str))]
    return _digest({"annotations": hashlib.sha256(annotations.read_bytes()).hexdigest(), "images": sizes})


def _from_declaration(path: Path) -> Dataset:
    document = read_document(path)
    if document.data.get("kind") == "shapes":
        return ShapesDataset(document.parse(ShapesDeclaration))
    declaration = document.parse(CocoDeclaration)
    return CocoDataset(declaration.name, datasets_folder() / declaration.root, declaration.splits)


def _first_met(record: Path, found: str) -> str:
    """The digest that was written down when a split was first used; now is the first time where there is no record."""
    try:
        if record.exists():
            return str(json.loads(record.read_text())["digest"])
        record.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(record, {"digest": found})
    except OSError as error:
        raise DatasetError(f"{record}: cannot be read or written ({error.strerror}); make the folder writable") from None
    except (ValueError, KeyError, TypeError):
        raise DatasetError(f"{record}: is broken; delete it if the data are as they should be") from None
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1


def _digest(content: Any) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
