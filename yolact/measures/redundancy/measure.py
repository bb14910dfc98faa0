"""How much the prototypes repeat each other, and how much each is used; `__init__.py` beside this gives the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from yolact.measures.context import Look, steps
from yolact.measures.prototypes.measure import SCORE_THRESHOLD
from yolact.measures.redundancy import RedundancyConfig
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.measures.redundancy.spectrum import correlation, effective_rank, explained, near_duplicates, principal_components
from yolact.runtime.files import write_json, write_npz

DUPLICATE = 0.8
"""Prototypes whose |correlation| is above this are called near-duplicates."""


def measure(folder: Path, look: Look, config: RedundancyConfig) -> dict[str, Any]:
    """Look at the first `config.images` images; write redundancy.npz and summary.json into `folder`.

    A network without prototypes gets a summary with `"prototypes": 0` alone.

    Returns:
        What summary.json holds.

    Raises:
        UserError: the prototypes are not finite numbers.
        Stopped: asked to.
    """
    moments = _look(look, config.images)
    if moments is None:
        summary: dict[str, Any] = {"prototypes": 0}
    else:
        summary = _write_arrays(folder / "redundancy.npz", moments, look.split.class_names)
    write_json(folder / "summary.json", summary)
    return summary


def _look(look: Look, images: int) -> PrototypeMoments | None:
    """The moments over the images; None where the network has no prototypes."""
    moments = None
    for image_id in steps(look, look.split.image_ids[:images]):
        image = look.split.image(image_id).to(look.device)
        found = look.predictor.predict([image], look.inference)[0]
        if found.prototypes is None:
            return None
        moments = moments or PrototypeMoments(len(found.prototypes), len(look.split.class_names))
        moments.add(found)
    return moments


def _write_arrays(path: Path, moments: PrototypeMoments, class_names: list[str]) -> dict[str, Any]:
    """Write the arrays; returns the summary."""
    covariance = moments.covariance
    correlations = correlation(covariance)
    eigenvalues, _ = principal_components(covariance)
    arrays = {
        "mean": moments.mean,
        "covariance": covariance,
        "correlation": correlations,
        "eigenvalues": eigenvalues,
        "explained": explained(eigenvalues),
        "use": moments.use,
        "use_per_class": moments.use_per_class,
        "detections_per_class": moments.detections_per_class,
        "positive_share": moments.positive_share,
        "class_names": np.array(class_names, str),
    }
    write_npz(path, arrays)
    return {
        "prototypes": len(eigenvalues),
        "images": moments.images,
        "pixels": moments.pixels,
        "detections": moments.detections,
        "score_threshold": SCORE_THRESHOLD,
        "effective_rank": effective_rank(eigenvalues),
        "duplicate_correlation": DUPLICATE,
        "duplicates": near_duplicates(correlations, DUPLICATE),
        "constant": np.flatnonzero(np.diag(covariance) <= 0).tolist(),
    }
