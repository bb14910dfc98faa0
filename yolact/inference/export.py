"""A one-stage network as one file for other programs: an ONNX graph, or a program of `torch.export`.

Both hold the same graph, from pixels to decoded boxes, whose shapes are all fixed. Suppression and mask assembly, whose results
vary in number, come after it: `finish` does them. `docs/export.md` shows both formats at work.

P locations, C classes without background, m mask parameters per location, S the side of the network's input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolact.config.inference import InferenceConfig
from yolact.config.model import ModelConfig
from yolact.errors import UserError
from yolact.models.base import without_unused
from yolact.models.build import build_model
from yolact.models.one_stage.model import OneStage
from yolact.runtime.files import written_aside
from yolact.structures import Detections

INPUT = "image"
BOXES, SCORES, PARAMETERS = "boxes", "probabilities", "mask_parameters"
ABOUT = "yolact"
"""Key of the JSON text that a file holds about itself; in a `torch.export` file, the name of an extra file."""
TOLERANCE = {"onnx": 1e-4, "torch": 1e-6}
"""Largest difference that a written file may show, in units of the output's largest magnitude or of 1, whichever is more."""
_LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}


class ExportError(UserError):
    """The network, or this installation, can't make the file that was asked for."""


class ExportGraph(nn.Module):
    """What is exported: (1, 3, S, S) float32 RGB in 0..255 to the tensors that `output_names` names, all float32.

    boxes (P, 4) xyxy as fractions of the image's sides, not clipped; probabilities (P, C), the head's scores; with a mask
    branch mask_parameters (P, m), activated, and the branch's context, such as prototypes (k, h, w).
    """

    def __init__(self, network: OneStage) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        raw = self.network(image)
        masks = () if self.network.branch is None else (raw.dense.parameters[0], *(each[0] for each in raw.context))
        return *self.network.decoded(raw.dense, 0), *masks


def output_names(model: Any, context: int | None = None) -> tuple[str, ...]:
    """Names of the outputs of an exported one-stage model in their order.

    Args:
        context: number of tensors that the mask branch shares between instances; None takes those that it names.
    """
    if model.branch is None:
        return BOXES, SCORES
    named = model.branch.context_names
    count = len(named) if context is None else context
    return BOXES, SCORES, PARAMETERS, *(named[i] if i < len(named) else f"context_{i}" for i in range(count))


def export_model(
    model: Any,
    path: Path,
    file_format: str,
    category_ids: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
) -> dict[str, float]:
    """Write `model` to `path` and compare what the file computes, on noise, with what the model does.

    The file appears under its name only once it has passed. Afterwards `model` is as it was.

    Args:
        file_format: "onnx" or "torch".
        category_ids: the data set's id of each label; with `class_names`, kept in the file.

    Returns:
        The difference of each output, in the units of TOLERANCE.

    Raises:
        ExportError: not a one-stage network, masks that need layers after suppression, a library is missing, or the file
            differs by more than TOLERANCE.
        OSError: the file cannot be written.
    """
    if model.dense_head is None:
        raise ExportError(
            f"{type(model).__name__} can't be exported: it has no dense head, whose boxes and scores the file holds; "
            "choose a one-stage model"
        )
    if model.branch is not None and model.branch.after_suppression and model.prototypes is None:
        raise ExportError(
            f"model.mask_branch.kind {model.config.mask_branch.kind} can't be exported: layers that run after suppression make "
            "its masks; choose another mask branch, or none"
        )
    _require(file_format)
    network = without_unused(deepcopy(model).cpu().eval().requires_grad_(False))
    graph = ExportGraph(network).eval()
    size = network.image_size
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    expected = _run(graph, noise)
    if not all(np.isfinite(output).all() for output in expected):
        raise ExportError("the network's outputs for noise are not finite: train it, or load trained weights, before exporting")
    with torch.no_grad():
        program = torch.export.export(graph, (noise,))
    write, run = _FORMATS[file_format]
    names = output_names(network, len(expected) - 3)
    with written_aside(path) as aside:
        write(program, aside, names, _about(network, category_ids, class_names))
        found = run(aside, noise)
        differences = dict(zip(names, _differences(found, expected), strict=True))
        if not all(each <= TOLERANCE[file_format] for each in differences.values()):  # nor where one is nan
            _compare_exactly(names, found, expected, graph, noise, TOLERANCE[file_format])
    return differences


def finish(
    outputs: Mapping[str, NDArray[np.float32] | Tensor],
    size: tuple[int, int],
    config: ModelConfig,
    inference: InferenceConfig | None = None,
) -> Detections:
    """Decode the graph's outputs into detections by the model's own post-processing.

    Args:
        outputs: by name.
        size: (H, W) of the original image, before it was resized to the network's input.
        config: the network's, as the file holds it.
        inference: None takes the defaults.

    Raises:
        ExportError: masks are to be re-scored, which takes weights.
    """
    inference = inference or InferenceConfig()
    tensors = {name: torch.as_tensor(value) for name, value in outputs.items()}
    boxes, scores = tensors[BOXES], tensors[SCORES]
    with torch.device("meta"):  # post-processing reads no weight
        model: Any = build_model(config, scores.shape[1], pretrained=False)
    if getattr(model.prototypes, "rescoring", None) is not None and inference.masks and inference.rescore_masks:
        raise ExportError("the file does not contain the network that re-scores masks: set inference.rescore_masks to false")
    parameters = tensors.get(PARAMETERS, boxes[:, :0])
    context = tuple(tensors[name] for name in output_names(model, len(tensors) - 3)[3:])
    with torch.inference_mode():
        survivors = model.suppressed(boxes, scores, parameters.__getitem__, inference)
        return model.assembled(survivors, context, size, inference)


def _require(file_format: str) -> None:
    for library in _LIBRARIES[file_format]:
        try:
            import_module(library)
        except ImportError as error:
            raise ExportError(
                f"{file_format} files need {library} ({error}): pip install 'yolact-workbench[export]', or choose torch"
            ) from None


def _about(network: OneStage, category_ids: Sequence[int] | None, class_names: Sequence[str] | None) -> str:
    classes = {"category_ids": category_ids, "class_names": class_names}
    known = {name: list(value) for name, value in classes.items() if value is not None}
    return json.dumps({"model": network.config.to_data(), "num_classes": network.num_classes, **known})


def _write_onnx(program: torch.export.ExportedProgram, path: Path, names: Sequence[str], about: str) -> None:
    found = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=names, verbose=False)
    if found is None:
        raise RuntimeError("torch.onnx.export gave no program")
    found.model.metadata_props[ABOUT] = about
    found.save(path, external_data=False)


def _run_onnx(path: Path, image: Tensor) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: image.numpy()})


def _write_torch(program: torch.export.ExportedProgram, path: Path, names: Sequence[str], about: str) -> None:
    with open(path, "wb") as file:
        torch.export.save(program, file, extra_files={ABOUT: about})


def _run_torch(path: Path, image: Tensor) -> list[NDArray[np.float32]]:
    with open(path, "rb") as file:
        return _run(torch.export.load(file).module(), image)


_FORMATS: dict[str, tuple[Callable, Callable]] = {"onnx": (_write_onnx, _run_onnx), "torch": (_write_torch, _run_torch)}


def _run(graph: nn.Module, image: Tensor) -> list[NDArray]:
    with torch.no_grad():
        return [tensor.numpy() for tensor in graph(image)]


def _differences(found: Sequence[NDArray], expected: Sequence[NDArray]) -> list[float]:
    return [
        float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
        for ours, theirs in zip(found, expected, strict=True)
    ]


def _compare_exactly(
    names: Sequence[str],
    found: Sequence[NDArray],
    expected: Sequence[NDArray],
    graph: ExportGraph,
    image: Tensor,
    tolerance: float,
) -> None:
    """Let the file pass where it lies hardly further from the exact result, in float64, than the network itself does.

    Deep networks with random weights multiply the rounding of float32 a thousandfold.
    """
    exact = _run(deepcopy(graph).double(), image.double())
    rounding = _differences(expected, exact)
    for name, difference, own in zip(names, _differences(found, exact), rounding, strict=True):
        if not difference <= max(tolerance, 2 * own):
            raise ExportError(
                f"the exported {name} are off by {difference:.1e}; {tolerance:.0e} is allowed, and the network's own rounding "
                f"is {own:.1e}: no file was written"
            )
