"""Data sets in COCO's format, declared or plain folders. Each split is identified by its content digest."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from experiments.datasets.dataset import Dataset
from experiments.datasets.declarations import CocoDeclaration, SplitConfig, datasets_folder, digest_of, split_digest
from yolact.data.findings import DatasetError, Finding, stop_on_errors
from yolact.runtime import files

_PURPOSES = {"to train on": ("train",), "to report results on": ("test", "val")}
"""{purpose: splits}. A data set without a training split is valid for evaluation."""


class CocoDataset(Dataset):
    """Data set of existing files."""

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

    def files_root(self) -> Path:
        return self.root

    def check(self) -> list[Finding]:
        from yolact.data.check import check_splits

        findings = check_splits({split: self.paths(split, self.root) for split in self.splits})
        return findings + [
            Finding(
                "warning",
                self.root,
                "",
                f"no split {' or '.join(names)} {purpose}",
                f"add annotations/instances_{names[-1]}.json",
            )
            for purpose, names in _PURPOSES.items()
            if not set(names) & set(self.splits)
        ]

    def describe(self) -> str:
        return f"{self.root} ({'present' if self.root.is_dir() else 'absent'})"

    def _record(self, split: str, data_folder: Path) -> Path:
        """File with the digest of a split that has passed the check."""
        return data_folder / f"{self.name}-{self.id}" / f"{split}.json"


def folder_dataset(folder: Path, name: str | None = None) -> CocoDataset:
    """A COCO-format folder: `annotations/instances_<split>.json` beside `<split>/`, `images/<split>/` or `images/`.

    Names such as `train2017` count as `train`, and likewise for `val` and `test`.
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
    """The declaration of a COCO-format folder, with digests. Its root is relative if it is inside the datasets folder."""
    dataset = folder_dataset(folder, name)
    root, home = folder.resolve(), datasets_folder().resolve()
    place = root.relative_to(home) if root.is_relative_to(home) and root != home else root
    splits = {split: config.to_data() for split, config in dataset.split_configs.items()}
    return CocoDeclaration.from_data({"kind": "coco", "name": name, "root": place.as_posix(), "splits": splits})


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
