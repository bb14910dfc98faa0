"""An instance segmenter to compare with, and its score threshold for a number of detections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from benchmarks.common.calibration import threshold

DETECTIONS = 100


@dataclass(frozen=True)
class Peer:
    """An instance segmenter, applied to one image."""

    name: str
    package: str
    """Name and version of what runs it."""
    input: str
    """Width and height of the network's input, in pixels."""
    parameters_m: float
    published_ap: float | None
    """Mask AP on COCO in percent, by its authors; None where they give none at this input."""
    run: Callable[[float], Tensor]
    """From score threshold to the scores (n,) of the detections whose masks were made."""


def calibrated(peer: Peer) -> float:
    """The score threshold that leaves the best `DETECTIONS` of what the peer finds without one."""
    scores = peer.run(0.0)
    return threshold(scores.min().item()) if len(scores) else 0.0


def millions(network: nn.Module) -> float:
    """Parameters in millions."""
    return round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 2)
