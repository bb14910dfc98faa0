"""What a peer is, and how networks with random weights are brought to find as much as trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.gpu_networks import LOGIT_SPREAD
from benchmarks.sized import threshold

DETECTIONS = 100


@dataclass(frozen=True)
class Peer:
    """An instance segmenter, ready to look at one image."""

    name: str
    package: str
    """Name and version of what runs it."""
    input: str
    """Width and height that the network sees, in pixels."""
    parameters_m: float
    published_ap: float | None
    """Mask AP on COCO in percent, by its authors; None where they give none at this input."""
    look: Callable[[float], Tensor]
    """From score threshold to the scores (n,) of the detections whose masks were made."""


def calibrated(peer: Peer) -> float:
    """The score threshold that leaves the best `DETECTIONS` of what the peer finds without one."""
    scores = peer.look(0.0)
    return threshold(scores.min().item()) if len(scores) else 0.0


def settle(network: nn.Module, forward: Callable[[], Any]) -> None:
    """Let batch norm take the statistics of what `forward` shows it, and put the network into inference mode."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = None  # the plain average
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    with torch.no_grad():
        forward()
    network.eval()


def decide(layers: Sequence[nn.Module], forward: Callable[[], Any]) -> None:
    """Scale the weights of layers that classify so that their logits spread as a trained network's."""
    seen: dict[nn.Module, Tensor] = {}
    hooks = [layer.register_forward_hook(lambda module, inputs, output: seen.update({module: output})) for layer in layers]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    for layer, output in seen.items():
        weight: Any = layer.weight
        weight.data.mul_(LOGIT_SPREAD / output.float().std().clamp(min=1e-6))


def millions(network: nn.Module) -> float:
    """Parameters in millions."""
    return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2)
