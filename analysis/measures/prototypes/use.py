"""How each prototype is used over all kept images of a network."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.measures.prototypes.assembly import contributions
from analysis.measures.prototypes.read import KeptImage, open_kept
from analysis.results.experiment import Experiment


class Use:
    """Statistics of k prototypes, gathered image by image."""

    def __init__(self, k: int, padding: int) -> None:
        self._padding = padding
        self._images = self._instances = 0
        self._sums: dict[str, NDArray[np.float64]] = {
            name: np.zeros(k) for name in ("use", "coefficient", "positive", "first", "activation", "silent")
        }
        self._lowest, self._highest = np.full(k, np.inf), np.full(k, -np.inf)

    def add(self, image: KeptImage) -> None:
        """Count one image in."""
        shares = contributions(image, self._padding)
        maps = image.prototypes
        low, high = maps.min(axis=(1, 2)), maps.max(axis=(1, 2))
        self._images += 1
        self._instances += len(image)
        self._lowest, self._highest = np.minimum(self._lowest, low), np.maximum(self._highest, high)
        self._sums["use"] += shares.sum(axis=0)
        self._sums["coefficient"] += np.abs(image.coefficients).sum(axis=0)
        self._sums["positive"] += (image.coefficients > 0).sum(axis=0)
        self._sums["first"] += np.bincount(shares.argmax(axis=1), minlength=len(maps))
        self._sums["activation"] += np.abs(maps).mean(axis=(1, 2), dtype=np.float64)
        self._sums["silent"] += (low == high) & (low == 0)

    def frame(self) -> pd.DataFrame:
        """One row per prototype, by number; NaN where no instance was found. `prototype_statistics` names the columns."""
        instances = self._instances or np.nan
        share = {name: self._sums[name] / instances for name in ("use", "coefficient", "positive", "first")}
        return pd.DataFrame(
            {
                "prototype": range(len(self._lowest)),
                "use": share["use"],
                "coefficient": share["coefficient"],
                "positive": share["positive"],
                "first": share["first"],
                "activation": self._sums["activation"] / self._images,
                "lowest": self._lowest,
                "highest": self._highest,
                "silent": self._sums["silent"] / self._images,
                "instances": self._instances,
                "images": self._images,
            }
        )


def prototype_statistics(experiment: Experiment, variant: str | None = None, seed: int | None = None) -> pd.DataFrame:
    """How each prototype of a network is used, over all kept images and their detections (at most 20, score >= .15).

    Returns:
        One row per prototype: `prototype` (number), `use` (mean over instances of |coefficient| × mean |activation| inside the
        instance's cropped box, so in logits), `coefficient` (mean |coefficient|), `positive` (share of instances with a
        coefficient above 0), `first` (share of instances in whose mask it counts most), `activation` (mean |activation|),
        `lowest`, `highest` (activation), `silent` (share of images on which it is 0 everywhere), `instances`, `images`
        (how many there were).

    Raises:
        MissingResult: no prototypes of it were kept.
    """
    kept = open_kept(experiment, variant, seed)
    use = Use(kept.k, kept.assembly.padding)
    for image in kept:
        use.add(image)
    return use.frame()
