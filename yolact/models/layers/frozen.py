"""Training through batch norm that is held at its statistics: its affine map is folded into the convolution before it.

A frozen batch norm multiplies each channel by a number and adds another. Doing so to the weights instead of the maps gives the
same outputs and gradients, up to rounding, and spares two passes over the largest tensors of a step and the memory of one.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck


class FoldedBasicBlock(BasicBlock):
    """torchvision's block, whose frozen batch norms are folded while it is trained."""

    def forward(self, x: Tensor) -> Tensor:
        if not _frozen(self):
            return super().forward(x)
        out = F.relu_(folded(self.conv1, self.bn1, x))
        return F.relu_(folded(self.conv2, self.bn2, out).add_(_shortcut(self, x)))


class FoldedBottleneck(Bottleneck):
    """torchvision's block, whose frozen batch norms are folded while it is trained."""

    def forward(self, x: Tensor) -> Tensor:
        if not _frozen(self):
            return super().forward(x)
        out = F.relu_(folded(self.conv1, self.bn1, x))
        out = F.relu_(folded(self.conv2, self.bn2, out))
        return F.relu_(folded(self.conv3, self.bn3, out).add_(_shortcut(self, x)))


def fold_blocks(network: nn.Module) -> None:
    """Make every residual block of torchvision's inside `network` one of the above, in place."""
    kinds: dict[type, type] = {BasicBlock: FoldedBasicBlock, Bottleneck: FoldedBottleneck}
    for module in network.modules():
        module.__class__ = kinds.get(type(module), type(module))


def folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """norm(conv(x)) of a frozen batch norm, for a convolution that may pad by other than zeros."""
    if type(conv) is not nn.Conv2d or norm.running_mean is None or norm.running_var is None:
        return norm(conv(x))
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups)


def _frozen(block: BasicBlock | Bottleneck) -> bool:
    """Whether it is being trained with its batch norms held; in inference it stays torchvision's."""
    return block.training and isinstance(block.bn1, nn.BatchNorm2d) and not block.bn1.training


def _shortcut(block: BasicBlock | Bottleneck, x: Tensor) -> Tensor:
    return x if block.downsample is None else folded(block.downsample[0], block.downsample[1], x)


def freeze_batch_norm(backbone: nn.Module) -> None:
    """Hold batch norm at its loaded statistics and affine weights. Call again after every `train()`, which undoes it."""
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval().requires_grad_(False)
