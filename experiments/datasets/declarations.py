"""Declarations of data sets in `experiments/data/*.yaml`, and the digests that pin their contents."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from experiments.spec.document import read_document
from yolact.config import Config
from yolact.config.data import ShapesConfig

DECLARATIONS = Path(__file__).parents[1] / "data"
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]


class SplitConfig(Config):
    """Paths of one split, relative to the data set's root, and its content digest."""

    images: str
    """Folder of the images."""
    annotations: str
    """File in COCO's instances format."""
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    """Its `split_digest`; None if unknown."""

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


def read_declaration(path: Path) -> CocoDeclaration | ShapesDeclaration:
    """Read one declaration.

    Raises:
        experiments.spec.document.SpecError: naming file, line and field.
    """
    document = read_document(path)
    if document.data.get("kind") == "shapes":
        return document.parse(ShapesDeclaration)
    return document.parse(CocoDeclaration)


def declared_names() -> list[str]:
    """Names of the declarations in `experiments/data/`."""
    return sorted(path.stem for path in DECLARATIONS.glob("*.yaml"))


def datasets_folder() -> Path:
    """Folder of declared data sets: the environment's YOLACT_DATA, or ./datasets."""
    return Path(os.environ.get("YOLACT_DATA") or "datasets")


def split_digest(images: Path, annotations: Path) -> str:
    """16 hex digits of a split's annotation bytes and of the names and sizes of its images; a missing image counts as −1.

    Raises:
        DatasetError: if the annotations cannot be read.
    """
    from yolact.data.annotations import read_annotations

    names = {record.get("file_name") for record in read_annotations(annotations)["images"] if isinstance(record, dict)}
    sizes = [[name, _size(images / name)] for name in sorted(name for name in names if isinstance(name, str))]
    return digest_of({"annotations": hashlib.sha256(annotations.read_bytes()).hexdigest(), "images": sizes})


def digest_of(content: Any) -> str:
    """16 hex digits of plain data."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):
        return -1
