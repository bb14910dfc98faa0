"""Batch norm folded into the convolutions before it, so that it costs nothing."""

from __future__ import annotations

import logging

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import DeformConv2d

_CONVOLUTIONS = (nn.Conv2d, DeformConv2d)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, _CONVOLUTIONS) or super().is_leaf_module(module, qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        try:
            return super().path_of_module(mod)
        except NameError:  # a slice of an nn.Sequential, made on the way; what is in it has a path
            return ""


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold batch norm into the convolution before it if nothing else reads that convolution.

    Every outermost module with a batch norm among its children is traced and replaced. A module that cannot be traced, since
    its control flow depends on values, is logged and keeps its own batch norm; modules inside it are folded.

    Args:
        network: in inference mode; the modules inside it are replaced in place.

    Returns:
        The same function up to rounding: `network` itself, or what replaces it.
    """
    if any(isinstance(child, nn.BatchNorm2d) for child in network.children()):
        try:
            return _folded(network)
        except Exception as error:  # whatever the module's code raises for stand-ins of its inputs
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logging.getLogger(__name__).warning("batch norm of %s is not folded: %s", type(network).__name__, reason)
    for name, child in list(network.named_children()):
        folded = fold_batch_norm(child)
        if folded is not child:
            setattr(network, name, folded)
    return network


def _folded(network: nn.Module) -> nn.Module:
    folded = fx.GraphModule(network, _Tracer().trace(network))
    modules = dict(folded.named_modules())
    for node in list(folded.graph.nodes):
        pair = _pair(node, modules)
        if pair is None:
            continue
        conv, norm = pair
        folded.add_submodule(node.args[0].target, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(node.args[0])
        folded.graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def _pair(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """The convolution and batch norm of a batch norm's node, if nothing else reads the convolution or shares its weights."""
    norm = modules.get(str(node.target)) if node.op == "call_module" else None
    before = node.args[0] if node.args else None
    if not isinstance(norm, nn.BatchNorm2d) or not isinstance(before, fx.Node) or before.op != "call_module":
        return None
    conv = modules[str(before.target)]
    calls = [each for each in node.graph.nodes if each.op == "call_module" and each.target == before.target]
    if not isinstance(conv, _CONVOLUTIONS) or len(before.users) > 1 or len(calls) > 1:
        return None
    return conv, norm  # type: ignore[return-value]
