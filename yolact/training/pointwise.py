"""Fast 1 x 1 convolutions on one CPU thread.

There, torch leaves these to a plain matrix product unless they are dilated; oneDNN takes half its time (fp32, AMD EPYC,
forward and backward pass alike). A kernel of one pixel is the same kernel at any dilation.
"""

from __future__ import annotations

import torch
from torch import nn


def prefer_kernels(network: nn.Module, device: str) -> None:
    """Have oneDNN compute every 1 x 1 convolution inside `network`, in place, where torch would not; no weight changes."""
    if device != "cpu" or torch.get_num_threads() > 1:
        return
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
            module.dilation = (2, 2)
