"""Batch norm folded into the convolutions before it, so that it costs nothing."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, nn.Conv2d) or super().is_leaf_module(module, qualified_name)

    def path_of_module(self, mod: nn.Module) -> str:
        try:
            return super().path_of_module(mod)
        except NameError:  # a slice of an nn.Sequential, made on the way; what is in it has a path
            return ""


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A network in inference mode in which every convolution has taken in the batch norm that alone reads it.

    Args:
        network: in inference mode; its modules are shared with the result, except for the folded convolutions.

    Returns:
        The same function up to rounding; `network` itself where it can't be traced, since its control flow depends on values.
    """
    try:
        graph = _Tracer().trace(network)
    except (fx.proxy.TraceError, TypeError, RuntimeError):
        return network
    folded = fx.GraphModule(network, graph)
    modules = dict(folded.named_modules())
    for node in list(graph.nodes):
        pair = _pair(node, modules)
        if pair is None:
            continue
        conv, norm = pair
        folded.add_submodule(node.args[0].target, fuse_conv_bn_eval(conv, norm))
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    folded.delete_all_unused_submodules()
    folded.recompile()
    return folded


def _pair(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """The convolution and batch norm of a batch norm's node, where nothing else reads the convolution or shares its weights."""
    norm = modules.get(str(node.target)) if node.op == "call_module" else None
    before = node.args[0] if node.args else None
    if not isinstance(norm, nn.BatchNorm2d) or not isinstance(before, fx.Node) or before.op != "call_module":
        return None
    conv = modules[str(before.target)]
    calls = [each for each in node.graph.nodes if each.op == "call_module" and each.target == before.target]
    if not isinstance(conv, nn.Conv2d) or len(before.users) > 1 or len(calls) > 1:
        return None
    return conv, norm
