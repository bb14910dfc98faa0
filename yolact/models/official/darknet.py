"""Darknet's weight files, both ways: numbers one after another, without names.

int32 major, minor, revision; images seen, uint64 from version 0.2 on, else int32; then float32: convolution by convolution, in
the order of the cfg file, batch norm's shift, scale, mean and variance, or the bias, and the kernel (out, in, k, k).
Source: darknet `src/parser.c` load_weights_upto, load_convolutional_weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, from_numpy, nn

from yolact.config.model import YOLOv3Config
from yolact.errors import UserError
from yolact.models.official.names import State
from yolact.runtime.files import written_aside

_MOST = 1000
"""Versions are below; the first bytes of a file of torch's make larger numbers."""


def is_darknet(path: Path) -> bool:
    """Whether the file begins as one of darknet's does."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    version = np.frombuffer(head, "<i4") if len(head) == 12 else np.full(1, _MOST)
    return bool(((version >= 0) & (version < _MOST)).all())


def read_darknet(path: Path, network: nn.Module) -> State:
    """The file's numbers under the names of `network`, YOLOv3 or DarkNet-53 alone.

    Raises:
        UserError: another network, or the file has more or fewer numbers than its weights.
    """
    raw = path.read_bytes()
    major, minor, _ = np.frombuffer(raw, "<i4", 3)
    rest = raw[12 + (8 if 10 * major + minor >= 2 else 4) :]
    tensors = _tensors(network)
    wanted = sum(tensor.numel() for _, tensor in tensors)
    if len(rest) != 4 * wanted:
        found = f"{len(rest) / 4:,.10g}"
        raise UserError(f"{path}: {found} numbers, but this network has {wanted:,}: another network's, or cut short")
    values = np.frombuffer(rest, "<f4")
    state, at = dict(network.state_dict()), 0
    for name, tensor in tensors:
        state[name] = from_numpy(values[at : at + tensor.numel()].copy()).view(tensor.shape)
        at += tensor.numel()
    return state


def write_darknet(network: nn.Module, path: Path) -> None:
    """Write the weights as darknet does, as of no images seen.

    Raises:
        UserError: neither YOLOv3 nor DarkNet-53.
    """
    parts = [np.array([0, 2, 0, 0, 0], "<i4").tobytes()]
    parts += [tensor.detach().cpu().numpy().astype("<f4").tobytes() for _, tensor in _tensors(network)]
    with written_aside(path) as aside:
        aside.write_bytes(b"".join(parts))


def _tensors(network: nn.Module) -> list[tuple[str, Tensor]]:
    """Names and weights in the file's order."""
    names = {id(module): name for name, module in network.named_modules()}
    found = []
    for layer in _layers(network):
        for key in (
            ("bias", "weight", "running_mean", "running_var") if isinstance(layer, nn.BatchNorm2d) else ("bias", "weight")
        ):
            tensor = getattr(layer, key)
            if tensor is not None:
                found.append((f"{names[id(layer)]}.{key}", tensor))
    return found


def _layers(network: Any) -> Iterator[nn.Module]:
    """Batch norms, each before its convolution, and convolutions in the order of the cfg file."""
    config = getattr(network, "config", None)
    if config is None:
        yield from _with_norms(network)
        return
    if not isinstance(config, YOLOv3Config):
        raise UserError(f"a weight file of darknet fits YOLOv3 with DarkNet-53, not a model of kind {config.kind!r}")
    yield from _with_norms(network.backbone)
    for level in reversed(range(len(network.fpn.blocks))):
        if level < len(network.fpn.links):
            yield from _with_norms(network.fpn.links[level])
        yield from _with_norms(network.fpn.blocks[level])
        yield from _with_norms(network.head.convs[level])
        yield network.head.outputs[level]


def _with_norms(part: nn.Module) -> Iterator[nn.Module]:
    for module in part.modules():
        if isinstance(module, nn.Sequential) and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            yield module[1]
            yield module[0]
