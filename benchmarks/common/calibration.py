"""Random weights made to detect as much as trained ones: logits of usual spread, and a threshold for a number of detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from yolact.inference.random_weights import average_statistics

LOGIT_SPREAD = 3.0
"""Standard deviation of the class logits: without it random networks are undecided between 80 classes and detect nothing."""


def settle(network: nn.Module, forward: Callable[[], object]) -> None:
    """Set batch norm to the statistics of one `forward`, and the network to inference mode."""
    network.eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.train()
    average_statistics(network, forward)


def decide(layers: Sequence[nn.Module], forward: Callable[[], object]) -> None:
    """Scale the weights of layers that classify, so that the logits of each spread as a trained network's."""
    seen: dict[nn.Module, list[Tensor]] = {layer: [] for layer in layers}
    hooks = [
        layer.register_forward_hook(lambda module, inputs, output: seen[module].append(output.float().flatten()))
        for layer in layers
    ]
    with torch.no_grad():
        forward()
    for hook in hooks:
        hook.remove()
    for layer, outputs in seen.items():
        weight: Any = layer.weight
        weight.data.mul_(LOGIT_SPREAD / torch.cat(outputs).std().clamp(min=1e-6))


def threshold(last: float) -> float:
    """The next float32 below a score: the largest threshold that this score passes."""
    return max(0.0, torch.nextafter(torch.tensor(last), torch.tensor(-1.0)).item())
