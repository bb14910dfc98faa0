"""Names of the official YOLACT checkpoints, both ways.

Source: reference `yolact.py` load_weights and the released state dicts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from yolact.config.mask_branch import PrototypeConfig
from yolact.config.model import YolactConfig
from yolact.errors import UserError

State = dict[str, Tensor]


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the official YOLACT code."""
    return any(name.startswith("prediction_layers.0.") for name in state)


def from_official(state: Mapping[str, Tensor], model: nn.Module) -> State:
    """The official layout's tensors under our names.

    What old releases carried and nobody reads is dropped: `backbone.layer*` duplicates of `backbone.layers*`, and
    `fpn.downsample_layers` beyond those the pyramid has. A model without the semantic branch drops `semantic_seg_conv`.
    Names that mean nothing to us are kept, so that loading reports them.

    Raises:
        UserError: `model` is not YOLACT.
    """
    pairs = _layout(model)
    return {_renamed(name, pairs): value for name, value in state.items() if not _is_left_over(name, _config(model))}


def to_official(model: nn.Module) -> State:
    """The weights of a YOLACT network under the official code's names.

    Backbones that the official code doesn't have keep their own names behind `backbone.`.

    Raises:
        UserError: `model` is another model.
    """
    pairs = [(ours, official) for official, ours in _layout(model)]
    return {_renamed(name, pairs): value for name, value in model.state_dict().items()}


def darknet_names(state: Mapping[str, Tensor]) -> State:
    """Official DarkNet-53 names (`_preconv`, `layers`) as ours (`stem`, `stages`); others stay."""
    return {_renamed(name, _DARKNET): value for name, value in state.items()}


Pairs = Sequence[tuple[str, str]]
"""Beginnings of names, each with what stands in its place in the other layout."""

_RESCORING = "maskiou_net.maskiou_net"
_DARKNET = (("_preconv.", "stem."), ("layers.", "stages."))
_RESNET = tuple((f"layers.{stage}.", f"layer{stage + 1}.") for stage in range(4))
_BACKBONES = {"darknet53": _DARKNET, "resnet50": _RESNET, "resnet101": _RESNET}


def _layout(model: nn.Module) -> Pairs:
    """The official name's and our name's beginnings, for everything whose name differs."""
    config = _config(model)
    pairs = [(f"backbone.{theirs}", f"backbone.{ours}") for theirs, ours in _BACKBONES.get(config.backbone.name, ())]
    for i in range(3):  # the official lists run from C5 down to C3
        pairs += [(f"fpn.lat_layers.{i}.", f"fpn.lateral.{2 - i}."), (f"fpn.pred_layers.{i}.", f"fpn.output.{2 - i}.")]
    pairs += [
        ("fpn.downsample_layers.", "fpn.extra."),
        ("prediction_layers.0.bbox_layer.", "head.box."),
        ("prediction_layers.0.conf_layer.", "head.classification."),
        ("prediction_layers.0.mask_layer.", "head.mask."),
        ("semantic_seg_conv.", "semantic."),
    ]
    # official sequences count the ReLUs between their convolutions
    pairs += [(f"prediction_layers.0.upfeature.{2 * i}.", f"head.shared.{i}.") for i in range(config.head.shared_convs)]
    if isinstance(config.mask_branch, PrototypeConfig):  # [conv, relu] x depth, upsample, relu, conv, relu, conv
        depth = config.mask_branch.depth
        places = [(2 * i, f"before.{i}") for i in range(depth)] + [(2 * depth + 2, "after"), (2 * depth + 4, "output")]
        pairs += [(f"proto_net.{place}.", f"branch.protonet.{ours}.") for place, ours in places]
        if config.mask_branch.rescoring is not None:  # [conv, relu] x their number
            last = len(config.mask_branch.rescoring.channels)
            names = [*(f"convs.{i}" for i in range(last)), "output"]
            pairs += [(f"{_RESCORING}.{2 * i}.", f"branch.rescoring.{name}.") for i, name in enumerate(names)]
    return pairs


def _config(model: nn.Module) -> YolactConfig:
    config = getattr(model, "config", None)
    if not isinstance(config, YolactConfig):
        raise UserError(f"the official layout is YOLACT's; a {type(model).__name__} has no place in it")
    return config


def _renamed(name: str, pairs: Pairs) -> str:
    for old, new in pairs:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _is_left_over(name: str, config: YolactConfig) -> bool:
    if name.startswith("backbone.layer"):
        return config.backbone.name in _BACKBONES and not name.startswith("backbone.layers")
    if name.startswith("semantic_seg_conv."):
        return config.loss.semantic == 0
    level = re.match(r"fpn\.downsample_layers\.(\d+)\.", name)
    return level is not None and int(level[1]) >= config.fpn.extra_levels
