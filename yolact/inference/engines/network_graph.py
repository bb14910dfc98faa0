"""The part with weights of a one-stage model with an anchor head, prepared for compilation: pixels in, float32 raw outputs out.

P anchors, C classes, m mask parameters per anchor, input of side S.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.inference.engines.chosen_parameters import cells_of
from yolact.inference.engines.passes import winograd
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.passes.upsampled_conv import UpsampledConv
from yolact.inference.engines.passes.winograd import WinogradConv
from yolact.models.masks.protonet import Protonet
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.one_stage.anchor_head import AnchorHead
from yolact.models.one_stage.model import OneStage

_VECTOR = 16
"""Numbers of float32 in a register of 512 bits."""


class NetworkGraph(nn.Module):
    """(n, 3, S, S) float32 RGB in 0..255 to offsets (n, P, 4), logits (n, P, C+1), parameters (n, P, m) and, where there are
    any, maps (n, k, h, w), all float32; `model` stays as it is. With `chosen`, instead of the parameters the features that they
    are made of, as `cells_of` lays them out, in `dtype`.

    Batch norm is folded in float32, then weights take `dtype` and the channels-last layout. On the CPU the head's last
    convolution stays in float32, where it costs no more and spares boxes and scores a rounding to 8 bits.
    """

    def __init__(self, model: OneStage, dtype: torch.dtype, masks: bool, chosen: bool = False) -> None:
        super().__init__()
        network: Any = deepcopy(model).eval().requires_grad_(False)
        network.semantic = None  # serves in training only
        network.backbone = fold_batch_norm(network.backbone)
        if isinstance(network.branch, PrototypeBranch) and is_plain(network.branch.protonet.after):
            quick: Any = _QuickProtonet(network.branch.protonet)
            network.branch.protonet = quick
        network.head = _JoinedHead(network.head, masks and not chosen)
        on_cpu = model.device.type == "cpu"
        for part in filter(None, (network.backbone, network.fpn, network.branch, network.head.shared)):
            part.to(dtype=dtype, memory_format=torch.channels_last)
        network.head.joined.to(dtype=torch.float32 if on_cpu else dtype, memory_format=torch.channels_last)
        if on_cpu:
            quicken(network)
        self.network, self.dtype, self.masks, self.chosen = network, dtype, masks, chosen
        self.essence = network.config.essence(), str(dtype), masks, chosen, [border(each) for each in network.modules()]

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        pixels = (images - self.network.pixel_mean) / self.network.pixel_std
        pixels = pixels.to(dtype=self.dtype, memory_format=torch.channels_last)
        levels = self.network.fpn(self.network.backbone(pixels))
        branch = self.network.branch
        masks = self.masks and branch is not None
        context = branch.context(levels) if masks else ()
        levels = self.network.head.features(levels)
        offsets, logits, parameters = self.network.head(levels)
        if masks and not self.chosen:
            parameters = branch.activate(parameters)
        third = cells_of(levels) if self.chosen else parameters.float().contiguous()
        return offsets.float().contiguous(), logits.float().contiguous(), third, *(each.float() for each in context)


def border(module: nn.Module) -> str | None:
    """Padding isn't among the weights, and an intervention changes it."""
    return getattr(module, "border", None)


def quicken(network: nn.Module) -> None:
    """Put Winograd's convolutions where they are faster, in place."""
    for parent in list(network.modules()):
        for name, module in parent.named_children():
            if isinstance(module, nn.Conv2d) and winograd.takes_the_place_of(module):
                setattr(parent, name, WinogradConv(module))


class _JoinedHead(nn.Module):
    """A prediction head whose last convolutions, which read the same map, are one."""

    def __init__(self, head: AnchorHead, masks: bool) -> None:
        super().__init__()
        last = [conv for conv in (head.box, head.classification, head.mask if masks else None) if conv is not None]
        self.shared, self.joined = head.shared, _joined(last)
        self.channels, self.columns = [conv.out_channels for conv in last], head.columns

    def features(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """What the last convolution reads."""
        return [self._shared(level) for level in levels]

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """As `AnchorHead.forward`, from `features`."""
        parts = zip(*map(self._level, levels), strict=True)
        offsets, logits, *parameters = (torch.cat(part, dim=1) for part in parts)
        return offsets, logits, parameters[0] if parameters else offsets[..., :0]

    def _shared(self, level: Tensor) -> Tensor:
        for conv in self.shared:
            level = F.relu(conv(level))
        return level

    def _level(self, level: Tensor) -> list[Tensor]:
        rows = self.joined(level.to(self.joined.weight.dtype)).permute(0, 2, 3, 1)
        maps = rows[..., : sum(self.channels)].split(self.channels, dim=-1)
        return [each.reshape(len(level), -1, columns) for each, columns in zip(maps, self.columns, strict=False)]


def _joined(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One convolution with the outputs of all, and more up to whole vectors of 16, without which kernels are a third slower."""
    made = deepcopy(convs[0])
    weight, bias = torch.cat([conv.weight for conv in convs]), torch.cat([conv.bias for conv in convs])  # type: ignore[misc]
    missing = -len(bias) % _VECTOR
    made.weight = nn.Parameter(F.pad(weight, (0, 0, 0, 0, 0, 0, 0, missing)), requires_grad=False)
    made.bias = nn.Parameter(F.pad(bias, (0, missing)), requires_grad=False)
    made.out_channels = len(made.bias)
    return made


class _QuickProtonet(nn.Module):
    """A protonet whose upsampling and the convolution after it have changed places."""

    def __init__(self, protonet: Protonet) -> None:
        super().__init__()
        self.before, self.output, self.activation = protonet.before, protonet.output, protonet.activation
        self.upsample_and_convolve = UpsampledConv(protonet.after)

    def forward(self, features: Tensor) -> Tensor:
        for conv in self.before:
            features = F.relu(conv(features))
        return self.activation(self.output(self.upsample_and_convolve(features)))
