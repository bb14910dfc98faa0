"""What each prototype of a network responds to, beside what chance and untrained weights would give.

The same measures are taken of four sources, in the words of the files:

    network     the network's prototypes
    shuffled    the same with each image's pixels in an order of its own: nothing should remain
    random <i>  networks of the same configuration with random weights: what architecture and images give without learning
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from yolact.errors import UserError
from yolact.measures.context import Look, steps
from yolact.measures.responses import ResponsesConfig
from yolact.measures.responses.described import PER_IMAGE, Described, Description
from yolact.measures.responses.regions import Regions, regions
from yolact.models.base import Model, resize
from yolact.models.build import build_model
from yolact.models.layers.padding import padding_of, set_padding
from yolact.runtime.files import write_csv, write_json, write_npz

FIRST_SEED = 2**31
"""Of the random networks: far from the seeds of trainings, so that none is the untrained network that is looked at."""


def measure(folder: Path, look: Look, config: ResponsesConfig) -> None:
    """Write responses.csv, prototypes.csv, maps.npz and summary.json; `__init__.py` beside this gives their contents.

    Raises:
        UserError: the split has fewer than two images, or the prototypes are not finite numbers.
        Stopped: asked to.
    """
    model = look.model
    if model.maps is None:
        write_json(folder / "summary.json", {"prototypes": 0})
        return
    image_ids = look.split.image_ids[: config.images]
    if len(image_ids) < 2:
        raise UserError("responses: the evaluated split has one image; each is compared with others, so that two are needed")
    networks = {"network": model} | {f"random {i}": _random(look, model, i) for i in range(config.random_networks)}
    described = {name: Described() for name in (*networks, "shuffled")}
    total: Tensor | None = None
    before: Regions | None = None
    for image_id in steps(look, image_ids):
        image, truth = look.split.image(image_id), look.split.instances(image_id)
        maps = {name: prototypes(network, image, look.device) for name, network in networks.items()}
        own = maps["network"]
        where = regions(truth.masks, truth.crowd, (own.shape[-2], own.shape[-1]))
        for name, made in (maps | {"shuffled": shuffled(own, image_id)}).items():
            described[name].add(made, where, image, before)
        before = where
        total = own.double() + (0 if total is None else total)
    found = {name: one.finish() for name, one in described.items()}
    mean = (cast(Tensor, total) / len(image_ids)).float()
    write_csv(folder / "responses.csv", [_rounded(row) for row in _rows(found["network"], image_ids)])
    summaries = ({"source": name, **row} for name, one in found.items() for row in one.summary())
    write_csv(folder / "prototypes.csv", [_rounded(row) for row in summaries])
    write_npz(folder / "maps.npz", {"mean": mean.numpy()})
    summary = {"prototypes": len(mean), "images": len(image_ids), "height": mean.shape[1], "width": mean.shape[2]}
    write_json(folder / "summary.json", {**summary, "random_networks": config.random_networks})


@torch.inference_mode()
def prototypes(model: Model, image: Tensor, device: str) -> Tensor:
    """(k, h, w) float32 on the CPU, of a (3, H, W) uint8 image; raises UserError where they are not finite."""
    maps = model(resize(image.to(device), model.image_size)[None]).context[0][0].float().cpu()
    if not maps.isfinite().all():
        raise UserError("responses: the prototypes are not finite numbers: the training diverged; lower training.lr")
    return maps


def shuffled(maps: Tensor, seed: int) -> Tensor:
    """(k, h, w) with the pixels of all maps in one random order."""
    order = torch.randperm(maps[0].numel(), generator=torch.Generator().manual_seed(seed))
    return maps.flatten(1)[:, order].reshape(maps.shape)


def _random(look: Look, model: Model, number: int) -> Model:
    """A network that never saw an image, otherwise as the one that is looked at."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(FIRST_SEED + number)
        made = build_model(model.config, model.num_classes, pretrained=False)
    set_padding(made, padding_of(model))
    return made.to(look.device).eval()


def _rows(found: Description, image_ids: list[int]) -> Iterator[dict[str, Any]]:
    for image_id, of_image in zip(image_ids, found.values.tolist(), strict=True):
        for prototype, values in enumerate(of_image):
            yield {"image_id": image_id, "prototype": prototype, **dict(zip(PER_IMAGE, values, strict=True))}


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with numbers to five digits; NaN is left empty."""
    texts = {name: "" if value != value else f"{value:.5g}" for name, value in row.items() if isinstance(value, float)}
    return {**row, **texts}
