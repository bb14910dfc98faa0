"""A results folder with one `prototypes` stage, made up by code: masks that follow from the prototypes exactly."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from analysis.results.experiment import Experiment, load

NAMES = ("circle", "Stern <ä>")
STAGE = "prototypes-0123456789abcdef"


def write(
    root: Path,
    images: int = 2,
    k: int = 4,
    instances: int = 3,
    tile: int = 8,
    size: tuple[int, int] = (32, 64),
    state: str = "done",
    crop: bool = True,
    measured: bool = True,
) -> Experiment:
    """Write the experiment `look` under `root`.

    Args:
        images: how many; the first has no instances.
        k: prototypes; 0 leaves them out.
        tile: side of a prototype.
        size: (H, W) of an image, multiples of `tile`.
        state: of the stage.
        measured: whether the spec measures prototypes at all.
    """
    record = {
        "experiment": "look", "scale": "toy", "title": "What <they> learned", "question": "?", "reference": "plain",
        "data": {"name": "made up", "id": "0", "split": "test"}, "created": "2026-11-20T00:00:00+00:00",
        "variants": [{"name": "plain", "label": "plain"}],
        "runs": [{"variant": "plain", "seed": 7, "stages": {"prototypes": STAGE} if measured else {}}]}  # fmt: skip
    _json(root / "experiments" / "look-toy.json", record)
    folder = root / "runs" / STAGE
    inference = {"crop": crop, "crop_padding": 1, "mask_threshold": 0.5}
    _json(folder / "stage.json", {"kind": "prototypes", "version": 1, "fields": {"inference": inference}, "inputs": {}})
    _json(folder / "status.json", {"state": state, "digests": {}})
    (folder / "result").mkdir()
    with zipfile.ZipFile(folder / "result" / "prototypes.npz", "w", zipfile.ZIP_STORED) as archive:
        for name, array in _arrays(images, k, instances, tile, size, crop):
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
    return load(root, "look", "toy")


def _arrays(images: int, k: int, instances: int, tile: int, size: tuple[int, int], crop: bool):
    yield "image_ids", np.arange(100, 100 + images)
    yield "class_names", np.array(NAMES)
    random = np.random.default_rng(0)
    height, width = size
    smooth = np.linspace(0, 1, tile)
    for index in range(images):
        n = instances if index else 0
        boxes = np.tile(np.array([width // 4, height // 4, width // 2, height // 2], np.float32), (n, 1))
        yield f"{index}_image", random.integers(0, 256, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        yield f"{index}_boxes", boxes
        yield f"{index}_scores", np.linspace(0.9, 0.3, n).astype(np.float32)
        yield f"{index}_labels", np.arange(n) % 2
        if k:
            waves = random.uniform(-4, 4, (k, 2)) @ np.stack([np.ones(tile), smooth])  # (k, tile)
            maps = np.maximum(0, waves[:, :, None] + random.uniform(-2, 4, (k, 1, tile))).astype(np.float32)
            coefficients = random.uniform(-1, 1, (n, k)).astype(np.float32)
            yield f"{index}_prototypes", maps
            yield f"{index}_coefficients", coefficients
            yield f"{index}_masks", _masks(maps, coefficients, size, crop)
        else:
            yield f"{index}_masks", np.zeros((n, *size), bool)


def _masks(maps: np.ndarray, coefficients: np.ndarray, size: tuple[int, int], crop: bool) -> np.ndarray:
    """Each prototype pixel a block of the mask; the box of `_arrays`, widened by one prototype pixel."""
    tile = maps.shape[1]
    masks = np.tensordot(coefficients, maps, 1) > 0
    if crop:
        inside = np.zeros((tile, tile), bool)
        inside[tile // 4 - 1 : tile // 2 + 1, tile // 4 - 1 : tile // 2 + 1] = True
        masks &= inside
    return masks.repeat(size[0] // tile, 1).repeat(size[1] // tile, 2)


def _json(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))
