"""A YOLACT network as one file for other programs: an ONNX graph, or a program of `torch.export`.

Both hold the same graph, from pixels to decoded boxes, whose shapes are all fixed. Suppression and mask assembly, whose results
vary in number, come after it: `finish` does them. `docs/export.md` shows both formats at work.

P anchors, C classes without background, m mask parameters per anchor, S the side of the network's input.
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
from yolact.config.model import OneStageConfig
from yolact.errors import UserError
from yolact.models.masks.mask_branch import Instances
from yolact.models.one_stage.heads import HEADS
from yolact.models.one_stage.model import OneStage
from yolact.ops.nms import suppress
from yolact.runtime.files import written_aside
from yolact.structures import Detections

INPUT = "image"
OUTPUTS = ("boxes", "probabilities", "mask_parameters", "prototypes")
"""In this order; networks without prototypes (fc-mask) have the first three."""
ABOUT = "yolact"
"""Key of the JSON text that a file holds about itself; in a `torch.export` file, the name of an extra file."""
TOLERANCE = {"onnx": 1e-4, "torch": 1e-6}
"""Largest difference that a written file may show, in units of the output's largest magnitude or of 1, whichever is more."""
_LIBRARIES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}


class ExportError(UserError):
    """The network, or this installation, can't make the file that was asked for."""


class ExportGraph(nn.Module):
    """What is exported: (1, 3, S, S) float32 RGB in 0..255 to the tensors that OUTPUTS names, all float32.

    boxes (P, 4) xyxy as fractions of the image's sides, not clipped; probabilities (P, C), each row with the background's in
    total 1; mask_parameters (P, m), activated; prototypes (k, h, w), activated, where the network has them.
    """

    def __init__(self, network: OneStage) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        (box, logits, parameters, quality), context, _ = self.network(image)
        head = self.network.head
        scores = head.scores(logits[0], None if quality is None else quality[0])
        return head.decode(box[0], head.locations), scores, parameters[0], *(each[0] for each in context)


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
        ExportError: not a one-stage network, a library is missing, or the file differs by more than TOLERANCE.
        OSError: the file cannot be written.
    """
    if not isinstance(model, OneStage):
        raise ExportError(
            f"only one-stage networks can be exported, not {type(model).__name__}, whose shapes may depend on the image"
        )
    _require(file_format)
    network = deepcopy(model).cpu().eval().requires_grad_(False)
    network.semantic = None  # serves in training only
    graph = ExportGraph(network).eval()
    size = network.image_size
    noise = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 255
    expected = _run(graph, noise)
    if not all(np.isfinite(output).all() for output in expected):
        raise ExportError("the network's outputs for noise are not finite: train it, or load trained weights, before exporting")
    with torch.no_grad():
        program = torch.export.export(graph, (noise,))
    write, run = _FORMATS[file_format]
    with written_aside(path) as aside:
        write(program, aside, _about(network, category_ids, class_names))
        found = run(aside, noise)
        differences = _differences(found, expected)
        if not all(each <= TOLERANCE[file_format] for each in differences.values()):  # nor where one is nan
            _compare_exactly(found, expected, graph, noise, TOLERANCE[file_format])
    return differences


def finish(
    outputs: Mapping[str, NDArray[np.float32] | Tensor],
    size: tuple[int, int],
    config: OneStageConfig,
    inference: InferenceConfig | None = None,
) -> Detections:
    """From the graph's outputs to detections: suppression, mask assembly, boxes in pixels.

    Args:
        outputs: by the names in OUTPUTS.
        size: (H, W) of the original image, before it was resized to the network's input.
        config: the network's, as the file holds it.
        inference: None takes the defaults.
    """
    inference = inference or InferenceConfig()
    tensors = {name: torch.as_tensor(outputs[name]) for name in OUTPUTS if name in outputs}
    with torch.device("meta"):  # post-processing reads no weight
        model = OneStage(config, tensors["probabilities"].shape[1], pretrained=False)
    with torch.inference_mode():
        kept = suppress(tensors["boxes"], tensors["probabilities"], inference, config.image_size)
        boxes, parameters = tensors["boxes"][kept.anchors], tensors["mask_parameters"][kept.anchors]
        locations = HEADS[type(config)].locations_of(config)[kept.anchors]
        survivors = Instances(torch.zeros_like(kept.labels), boxes, kept.labels, kept.scores, parameters, locations)
        context = (tensors["prototypes"],) if "prototypes" in tensors else ()
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


def _write_onnx(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    names = OUTPUTS[: len(program.graph_signature.user_outputs)]
    found = torch.onnx.export(program, dynamo=True, input_names=[INPUT], output_names=names, verbose=False)
    if found is None:
        raise RuntimeError("torch.onnx.export gave no program")
    found.model.metadata_props[ABOUT] = about
    found.save(path, external_data=False)


def _run_onnx(path: Path, image: Tensor) -> list[NDArray[np.float32]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: image.numpy()})


def _write_torch(program: torch.export.ExportedProgram, path: Path, about: str) -> None:
    with open(path, "wb") as file:
        torch.export.save(program, file, extra_files={ABOUT: about})


def _run_torch(path: Path, image: Tensor) -> list[NDArray[np.float32]]:
    with open(path, "rb") as file:
        return _run(torch.export.load(file).module(), image)


_FORMATS: dict[str, tuple[Callable, Callable]] = {"onnx": (_write_onnx, _run_onnx), "torch": (_write_torch, _run_torch)}


def _run(graph: nn.Module, image: Tensor) -> list[NDArray]:
    with torch.no_grad():
        return [tensor.numpy() for tensor in graph(image)]


def _differences(found: Sequence[NDArray], expected: Sequence[NDArray]) -> dict[str, float]:
    return {
        name: float(np.abs(ours - theirs).max() / max(1.0, np.abs(theirs).max()))
        for name, ours, theirs in zip(OUTPUTS[: len(expected)], found, expected, strict=True)
    }


def _compare_exactly(
    found: Sequence[NDArray], expected: Sequence[NDArray], graph: ExportGraph, image: Tensor, tolerance: float
) -> None:
    """Let the file pass where it lies hardly further from the exact result, in float64, than the network itself does.

    Deep networks with random weights multiply the rounding of float32 a thousandfold.
    """
    exact = _run(deepcopy(graph).double(), image.double())
    rounding = _differences(expected, exact)
    for name, difference in _differences(found, exact).items():
        if not difference <= max(tolerance, 2 * rounding[name]):
            raise ExportError(
                f"the exported {name} are off by {difference:.1e}; {tolerance:.0e} is allowed, and the network's own rounding "
                f"is {rounding[name]:.1e}: no file was written"
            )
