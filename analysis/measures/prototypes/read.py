"""What a `prototypes` stage kept of one network, read one image at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.results.contents import Arrays, MissingResult, opened
from analysis.results.experiment import Experiment, first


@dataclass(frozen=True)
class Assembly:
    """How the network makes masks of prototypes: the inference fields that it was run with."""

    crop: bool
    padding: int
    """Of the crop, in prototype pixels."""
    threshold: float
    """Probability above which a pixel is part of the mask."""


@dataclass(frozen=True)
class KeptImage:
    """One image: n instances, best score first, k prototypes of (h, w) that cover the image (H, W)."""

    image_id: int
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    prototypes: NDArray[np.float32]
    """(k, h, w); finite."""
    coefficients: NDArray[np.float32]
    """(n, k)."""
    masks: NDArray[np.bool_]
    """(n, H, W), as the network gave them."""
    boxes: NDArray[np.float32]
    """(n, 4) xyxy in pixels of the image."""
    scores: NDArray[np.float32]
    """(n,) in [0, 1]."""
    labels: NDArray[np.int64]
    """(n,) indices into the class names."""

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Kept:
    """The images of one network, in the order of the stage: most annotations first."""

    experiment: Experiment
    variant: str
    seed: int
    path: Path
    image_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    k: int
    assembly: Assembly

    def __len__(self) -> int:
        return len(self.image_ids)

    def __iter__(self) -> Iterator[KeptImage]:
        """The images one after the other, one in memory at a time."""
        with opened(self.path) as arrays:
            for index in range(len(self)):
                yield self._read(arrays, index)

    def image(self, image_id: int) -> KeptImage:
        """The image with this id.

        Raises:
            MissingResult: it was not kept.
        """
        if image_id not in self.image_ids:
            raise MissingResult(f"image {image_id} was not kept; kept are {', '.join(map(str, self.image_ids[:20]))}")
        with opened(self.path) as arrays:
            return self._read(arrays, self.image_ids.index(image_id))

    @property
    def network(self) -> str:
        """In words, such as `trained, seed 0`."""
        return f"{self.experiment.variant(self.variant).label}, seed {self.seed}"

    def _read(self, arrays: Arrays, index: int) -> KeptImage:
        names = ("image", "coefficients", "masks", "boxes", "scores", "labels")
        return KeptImage(
            image_id=self.image_ids[index],
            prototypes=np.nan_to_num(arrays[f"{index}_prototypes"], posinf=0, neginf=0),
            **{name: arrays[f"{index}_{name}"] for name in names},
        )


def open_kept(experiment: Experiment, variant: str | None = None, seed: int | None = None) -> Kept:
    """What was kept of a network, by default of the reference variant and its first seed that has it.

    Raises:
        MissingResult: nothing was, or the network has no prototypes; the message says which.
    """
    variant = experiment.reference if variant is None else variant
    label = experiment.variant(variant).label

    def path(experiment: Experiment, variant: str, own: int) -> Path:
        return experiment.path(variant, own, "prototypes", "prototypes.npz")

    if seed is None:
        return _open(experiment, variant, *first(experiment, variant, path, f"no prototypes of {label} were kept"))
    return _open(experiment, variant, seed, path(experiment, variant, seed))


def _open(experiment: Experiment, variant: str, seed: int, path: Path) -> Kept:
    with opened(path) as arrays:
        ids, names = arrays["image_ids"], arrays["class_names"]
        k = len(arrays["0_prototypes"]) if "0_prototypes" in arrays else 0
        linear = "0_coefficients" in arrays
    if not linear:
        how = "of maps that are not combined linearly" if k else "without prototypes"
        raise MissingResult(f"{experiment.variant(variant).label} makes its masks {how}")
    stage = experiment.store.stage(str(experiment.stage_id(variant, seed, "prototypes")))
    fields = stage.record["fields"]["inference"]
    assembly = Assembly(fields["crop"], fields["crop_padding"], fields["mask_threshold"])
    return Kept(experiment, variant, seed, path, tuple(map(int, ids)), tuple(map(str, names)), k, assembly)
