"""Data sets by name, by declaration file, or by folder."""

from __future__ import annotations

from pathlib import Path

from experiments.datasets.coco_folder import CocoDataset, folder_dataset
from experiments.datasets.dataset import Dataset
from experiments.datasets.declarations import (
    DECLARATIONS,
    ShapesDeclaration,
    datasets_folder,
    declared_names,
    read_declaration,
)
from experiments.datasets.generated import ShapesDataset
from yolact.config.base import nearest
from yolact.data.findings import DatasetError


def find_dataset(name_or_path: str) -> Dataset:
    """The data set with a name in `experiments/data/`, of a declaration file, or in a COCO-format folder.

    Raises:
        DatasetError: if it is none of them, or the folder's layout is unknown.
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


def _from_declaration(path: Path) -> Dataset:
    declaration = read_declaration(path)
    if isinstance(declaration, ShapesDeclaration):
        return ShapesDataset(declaration)
    return CocoDataset(declaration.name, datasets_folder() / declaration.root, declaration.splits)
