"""Weights in files: safe reading, either layout of names, fine-tuning with another number of classes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from yolact.errors import UserError
from yolact.models.base import Model
from yolact.models.official.darknet import is_darknet, read_darknet
from yolact.models.official.names import State, from_official, is_official
from yolact.runtime.files import written_aside


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


def load_weights(model: Model, path: str | Path, fresh_classes: bool = False) -> list[str]:
    """Load a state dict, ours or the official YOLACT layout, or a weight file of darknet, into a model.

    Args:
        model: built by `yolact.build_model` with the architecture that the weights belong to.
        path: of the file.
        fresh_classes: where the number of classes differs, leave the layers that depend on it as they are (fine-tuning).

    Returns:
        Names of the layers left fresh.

    Raises:
        UserError: the file can't be read, or names or shapes differ; the message lists them.
    """
    state = read_darknet(Path(path), model) if is_darknet(Path(path)) else read_state_dict(Path(path))
    if is_official(state):
        state = from_official(state, model)
    own = model.state_dict()
    depends = tuple(model.class_layers) if fresh_classes else ()
    fresh = sorted(n for n in own if n.startswith(depends) and n in state and own[n].shape != state[n].shape)
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
