"""Names of the official VoVNetV2 files. Source: centermask2 `modeling/backbone/vovnet.py`, whose names contain slashes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_PARTS = (
    ("conv_reduction.", "reduction."),
    ("ese.fc.", "attention.fc."),
    (".dw_conv3x3.", ".conv."),
    (".pw_conv1x1.", ".pointwise."),
    (".pw_norm.", ".norm."),
)


def vovnet_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The official tensors under the names of `yolact.models.backbones.vovnet.VoVNet`; ours stay.

    A detector's file may be given too: what is not of its backbone keeps its name. Official batch norm is frozen and counts no
    batches; a count of 0 is added.
    """
    renamed = {_ours(name): value for name, value in state.items()}
    for name in [name for name in renamed if name.endswith(".running_mean")]:
        renamed.setdefault(name.removesuffix("running_mean") + "num_batches_tracked", torch.tensor(0))
    return renamed


def _ours(name: str) -> str:
    """E.g. "stage4.OSA4_2.layers.0.OSA4_2_0/conv.weight" to "stages.2.1.layers.0.conv.weight"."""
    name = name.removeprefix("backbone.bottom_up.")
    name = re.sub(r"^stem\.stem_(\d)/", lambda found: f"stem.{int(found[1]) - 1}.", name)
    name = re.sub(r"^stage(\d)\.OSA\d_(\d+)\.", lambda found: f"stages.{int(found[1]) - 2}.{int(found[2]) - 1}.", name)
    name = re.sub(r"\.OSA[^./]*/", ".", name)
    for theirs, ours in _PARTS:
        name = name.replace(theirs, ours)
    return name
