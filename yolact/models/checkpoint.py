"""Weights in files: safe reading, the official layout's names, fine-tuning with another number of classes.

Source of the official layout: reference `yolact.py` load_weights and the released state dicts.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolact.config.mask_branch import PrototypeConfig
from yolact.config.model import YolactConfig
from yolact.errors import UserError
from yolact.runtime.files import written_aside

State = dict[str, Tensor]


def load_plain(path: Path, device: str = "cpu") -> Any:
    """What `torch.save` wrote, if it is tensors and plain values; executes nothing that the file contains.

    Raises:
        UserError: the file is missing, can't be read, is damaged, or holds anything else.
    """
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such weights file") from None
    except OSError as error:
        raise UserError(f"{path}: can't read the weights: {error.strerror or error}") from None
    except Exception:  # what a broken pickle raises has no common class: IndexError, struct.error, AssertionError...
        raise UserError(
            f"{path}: not readable as tensors: damaged, cut short, or holding code. Is the download complete?"
        ) from None


def read_state_dict(path: Path) -> State:
    """Tensors by name from a `torch.save`d state dict; executes nothing that the file contains.

    Raises:
        UserError: the file is missing, broken, or holds anything but tensors by name.
    """
    state = load_plain(path)
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state dict (tensors by name), found {type(state).__name__} with other values")
    return dict(state)


def write_state_dict(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name, on the CPU; the bytes depend on the tensors alone."""
    # a clone, for `contiguous` leaves the strides of 1 x 1 kernels as the memory format made them
    plain = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    write_plain(plain, path)


def write_plain(value: Any, path: Path) -> None:
    """`torch.save` by way of memory: it puts a path's last part into the file where the path is ASCII, and calls a full disk
    a broken invariant.

    Raises:
        OSError: the file cannot be written; what stood there still stands.
    """
    memory = io.BytesIO()
    torch.save(value, memory)
    with written_aside(path) as aside:
        aside.write_bytes(memory.getbuffer())


def load_weights(model: nn.Module, path: str | Path, fresh_classes: bool = False) -> list[str]:
    """Load a state dict, ours or the official YOLACT layout, into a model.

    Args:
        model: built by `yolact.build_model` with the architecture that the weights belong to.
        path: of the file.
        fresh_classes: where the number of classes differs, leave the layers that depend on it as they are (fine-tuning).

    Returns:
        Names of the layers left fresh.

    Raises:
        UserError: the file can't be read, or names or shapes differ; the message lists them.
    """
    state = read_state_dict(Path(path))
    if is_official(state):
        state = from_official(state, model)
    own = model.state_dict()
    fresh = sorted(n for n in own if fresh_classes and n in state and own[n].shape != state[n].shape and _counts_classes(n))
    wrong = [f"missing {name}" for name in sorted(own.keys() - state.keys())]
    wrong += [f"unexpected {name}" for name in sorted(state.keys() - own.keys())]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, the model's is {tuple(own[name].shape)}"
        for name in sorted(own.keys() & state.keys())
        if own[name].shape != state[name].shape and name not in fresh
    ]
    if wrong:
        listed = "\n  ".join(wrong)
        raise UserError(f"{path}: these weights don't fit the model:\n  {listed}")
    model.load_state_dict({name: own[name] if name in fresh else value for name, value in state.items()})
    return fresh


def is_official(state: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of the official YOLACT code."""
    return any(name.startswith("prediction_layers.0.") for name in state)


def from_official(state: Mapping[str, Tensor], model: nn.Module) -> State:
    """The official layout's tensors under our names.

    What old releases carried and nobody reads is dropped: `backbone.layer*` duplicates of `backbone.layers*`, and
    `fpn.downsample_layers` beyond those the pyramid has. A model without the semantic branch drops `semantic_seg_conv`.
    Names that mean nothing to us are kept, so that loading reports them.

    Raises:
        UserError: `model` is not a `YolactModel`.
    """
    pairs = _layout(model)
    return {_renamed(name, pairs): value for name, value in state.items() if not _is_left_over(name, _config(model))}


def to_official(model: nn.Module) -> State:
    """The weights of a `YolactModel` under the official code's names.

    Backbones that the official code doesn't have keep their own names behind `backbone.`.

    Raises:
        UserError: `model` is another model.
    """
    pairs = [(ours, official) for official, ours in _layout(model)]
    return {_renamed(name, pairs): value for name, value in model.state_dict().items()}


def darknet_names(state: Mapping[str, Tensor]) -> State:
    """Official DarkNet-53 names (`_preconv`, `layers`) as ours (`stem`, `stages`); others stay."""
    return {_renamed(name, _DARKNET): value for name, value in state.items()}


def _counts_classes(name: str) -> bool:
    return name.startswith(("head.classification.", "semantic.", "detector.roi_heads"))


Pairs = Sequence[tuple[str, str]]
"""Beginnings of names, each with what stands in its place in the other layout."""

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
