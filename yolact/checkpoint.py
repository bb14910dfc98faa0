"""Weights in files: safe reading, the official layout's names, fine-tuning with another number of classes.

Source of the official layout: reference `yolact.py` load_weights and the released state dicts.
"""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from yolact.config.model import PrototypeConfig
from yolact.errors import UserError

State = dict[str, Tensor]


def read_state_dict(path: Path) -> State:
    """Tensors by name from a `torch.save`d state dict; executes nothing that the file contains.

    Raises:
        UserError: the file is missing, broken, or holds anything but tensors by name.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such weights file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable PyTorch state dict ({reason}). Is the download complete?") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: expected a state dict (tensors by name), found {type(state).__name__} with other values")
    return dict(state)


def write_state_dict(state: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors by name, on the CPU, through a temporary folder: the bytes depend on tensors and file name alone."""
    aside = path.parent / f".{path.name}.{os.getpid()}"
    aside.mkdir()
    try:
        torch.save({name: value.detach().cpu().contiguous() for name, value in state.items()}, aside / path.name)
        os.replace(aside / path.name, path)
    finally:
        (aside / path.name).unlink(missing_ok=True)
        aside.rmdir()


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
    """
    config = model.config
    renamed = {}
    for name, value in state.items():
        if name.startswith("backbone.layer") and not name.startswith("backbone.layers"):
            continue
        downsample = re.match(r"fpn\.downsample_layers\.(\d+)\.", name)
        if downsample and int(downsample[1]) >= config.fpn.extra_levels:
            continue
        if name.startswith("semantic_seg_conv.") and model.semantic is None:
            continue
        renamed[_our_name(name, config)] = value
    return renamed


def to_official(model: nn.Module) -> State:
    """The weights of a `YolactModel` under the official code's names."""
    state = model.state_dict()
    official = _official_names(model)
    return {official[name]: value for name, value in state.items()}


def darknet_names(state: Mapping[str, Tensor]) -> State:
    """Official DarkNet-53 names (`_preconv`, `layers`) as ours (`stem`, `stages`); others stay."""
    return {_darknet_name(name): value for name, value in state.items()}


def _counts_classes(name: str) -> bool:
    return name.startswith(("head.classification.", "semantic.", "detector.roi_heads"))


def _darknet_name(name: str) -> str:
    return re.sub(r"^layers\.", "stages.", re.sub(r"^_preconv\.", "stem.", name))


def _our_name(name: str, config) -> str:
    if name.startswith("backbone."):
        inner = name.removeprefix("backbone.")
        if config.backbone.name == "darknet53":
            return "backbone." + _darknet_name(inner)
        return "backbone." + re.sub(r"^layers\.(\d+)\.", lambda m: f"layer{int(m[1]) + 1}.", inner)
    pyramid = re.match(r"fpn\.(lat|pred)_layers\.(\d+)\.(.*)", name)
    if pyramid:  # the official lists run from C5 down to C3
        return f"fpn.{'lateral' if pyramid[1] == 'lat' else 'output'}.{2 - int(pyramid[2])}.{pyramid[3]}"
    protonet = re.match(r"proto_net\.(\d+)\.(.*)", name)
    if protonet and isinstance(config.mask_branch, PrototypeConfig):
        return _protonet_name(int(protonet[1]), protonet[2], config.mask_branch.depth)
    for official, ours in _PREFIXES:
        if name.startswith(official):
            return ours + name.removeprefix(official)
    return name


_PREFIXES = (
    ("fpn.downsample_layers.", "fpn.extra."),
    ("prediction_layers.0.bbox_layer.", "head.box."),
    ("prediction_layers.0.conf_layer.", "head.classification."),
    ("prediction_layers.0.mask_layer.", "head.mask."),
    ("prediction_layers.0.upfeature.0.", "head.shared.0."),
    ("semantic_seg_conv.", "semantic."),
)


def _protonet_name(index: int, rest: str, depth: int) -> str:
    """The official sequence is [conv, relu] x depth, upsample, relu, conv, relu, conv."""
    if index == 2 * depth + 2:
        return f"branch.protonet.after.{rest}"
    if index == 2 * depth + 4:
        return f"branch.protonet.output.{rest}"
    return f"branch.protonet.before.{index // 2}.{rest}"


def _official_names(model: nn.Module) -> dict[str, str]:
    """Our name -> official name, by asking `_our_name` about every name the official layout can have."""
    config, names = model.config, {}
    depth = config.mask_branch.depth if isinstance(config.mask_branch, PrototypeConfig) else 0
    candidates = {ours: official for official, ours in _PREFIXES}
    for name in model.state_dict():
        if name.startswith("backbone."):
            inner = name.removeprefix("backbone.")
            inner = re.sub(r"^layer(\d+)\.", lambda m: f"layers.{int(m[1]) - 1}.", inner)
            names[name] = "backbone." + re.sub(r"^stages\.", "layers.", re.sub(r"^stem\.", "_preconv.", inner))
            continue
        pyramid = re.match(r"fpn\.(lateral|output)\.(\d+)\.(.*)", name)
        if pyramid:
            names[name] = f"fpn.{'lat' if pyramid[1] == 'lateral' else 'pred'}_layers.{2 - int(pyramid[2])}.{pyramid[3]}"
            continue
        protonet = re.match(r"branch\.protonet\.(before\.(\d+)|after|output)\.(.*)", name)
        if protonet:
            index = {"after": 2 * depth + 2, "output": 2 * depth + 4}.get(protonet[1])
            names[name] = f"proto_net.{2 * int(protonet[2]) if index is None else index}.{protonet[3]}"
            continue
        prefix = next(ours for ours in candidates if name.startswith(ours))
        names[name] = candidates[prefix] + name.removeprefix(prefix)
    return names
