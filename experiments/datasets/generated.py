"""The data set of drawn shapes, generated on first use. Its id is a digest of its configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments.datasets.dataset import Dataset
from experiments.datasets.declarations import ShapesDeclaration, digest_of
from yolact.data.findings import DatasetError, Finding


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

    def files_root(self) -> Path:
        raise DatasetError(f"data set {self.name} is generated; `yolact data shapes OUT` makes a folder to use in its place")

    def check(self) -> list[Finding]:
        self.files_root()
        return []

    def describe(self) -> str:
        return "generated on first use"
