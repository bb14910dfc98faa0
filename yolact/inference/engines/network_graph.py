"""The forward pass of a model, prepared for compilation: pixels in, float32 raw outputs out.

A copy of the model goes through passes over its modules (`engines/passes/`), which replace parts by faster ones of the same
function up to rounding. A pass is chosen by the type of a module, never by the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from yolact.inference.engines.engine import EngineError
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.inference.engines.passes.joined_head import JoinedHead
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.passes.precision import set_precision
from yolact.inference.engines.passes.replacing import replace_modules
from yolact.inference.engines.passes.upsampled_conv import UpsampledProtonet
from yolact.inference.engines.passes.winograd import WinogradConv, takes_the_place_of
from yolact.models.backbones.deformable import DeformableConv2d
from yolact.models.base import Model, without_unused
from yolact.models.masks.protonet import Protonet
from yolact.models.one_stage.heads.anchor_head import AnchorHead


class NetworkGraph(nn.Module):
    """(n, 3, S, S) float32 RGB in 0..255 to the tensors of the model's raw outputs in their order (`RawForm`), all float32.

    `model` does not change. Batch norm is folded in float32, then weights take `dtype` and the channels-last layout. On the CPU
    the last convolution of an anchor head stays in float32, which costs no more and spares boxes and scores a rounding to 8
    bits. So do deformable convolutions, whose operator computes in float32.

    Args:
        masks: False leaves out what only masks need.
        deferred: mask parameters are left out, and the features that they are made of stand in their place (`JoinedHead`).
    """

    def __init__(self, model: Model, dtype: torch.dtype, masks: bool, deferred: bool = False) -> None:
        super().__init__()
        network: Any = without_unused(deepcopy(model).eval().requires_grad_(False))
        if deferred:
            network.branch.activate = _unchanged
        on_cpu = model.device.type == "cpu"
        self.essence = network.config.essence(), str(dtype), masks, deferred, [_border(each) for each in network.modules()]
        network = fold_batch_norm(network)
        replace_modules(network, lambda module: _faster(module, masks, deferred))
        heads = [module for module in network.modules() if isinstance(module, JoinedHead)]
        deformable = [module for module in network.modules() if isinstance(module, DeformableConv2d)]
        set_precision(network, dtype, exact=[*deformable, *(head.joined for head in heads if on_cpu)])
        if on_cpu:
            replace_modules(network, _winograd)
        self.network, self.masks = network, masks

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        raw = self.network(images.to(memory_format=torch.channels_last), self.masks)
        return tuple(_plain(leaf) for leaf in tree_leaves(raw) if isinstance(leaf, Tensor))


class RawForm:
    """How the raw outputs of a model are made of tensors.

    Raises:
        EngineError: the model's forward pass has no fixed shapes.
    """

    def __init__(self, model: Model, masks: bool) -> None:
        size = model.image_size
        try:
            with torch.inference_mode(False), torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
                raw = model(torch.zeros(1, 3, size, size, device=model.device), masks)
        except Exception as error:  # whatever the model's code raises for stand-ins of its inputs
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise EngineError(
                f"inference.engine.kind=compiled: {type(model).__name__}.forward cannot be traced ({reason}); "
                "set inference.engine.kind to eager"
            ) from error
        leaves, self._spec = tree_flatten(raw)
        self._present = [isinstance(leaf, Tensor) for leaf in leaves]

    def raw(self, tensors: Sequence[Tensor]) -> Any:
        """Raw outputs from their tensors; what is absent is None."""
        given = iter(tensors)
        return tree_unflatten([next(given) if present else None for present in self._present], self._spec)


def _faster(module: nn.Module, masks: bool, deferred: bool) -> nn.Module | None:
    if type(module) is AnchorHead:
        return JoinedHead(module, masks, deferred)
    if type(module) is Protonet and is_plain(module.after):
        return UpsampledProtonet(module)
    return None


def _winograd(module: nn.Module) -> nn.Module | None:
    return WinogradConv(module) if isinstance(module, nn.Conv2d) and takes_the_place_of(module) else None


def _plain(values: Tensor) -> Tensor:
    """In float32; rows one after another, maps in the channels-last layout that they have."""
    values = values.float()
    return values if values.ndim == 4 else values.contiguous()


def _unchanged(values: Tensor) -> Tensor:
    return values


def _border(module: nn.Module) -> str | None:
    """Padding isn't among the weights, and an intervention changes it."""
    return getattr(module, "border", None)
