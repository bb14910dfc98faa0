"""The compiled engine: graphs, each compiled once for this machine, and next to no Python between them.

The network's graph holds the weights; suppression and assembly serve every network of the same shapes. On the CPU a batch is
looked at image by image. Greedy suppression, fc-mask's assembly and images narrower than two pixels go through the reference's
own code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from yolact.config.inference import InferenceConfig
from yolact.inference.engines.assembly import AssemblyGraph, instances_at_once, masks_by_box
from yolact.inference.engines.chosen_parameters import ChosenParameters, ParameterRows
from yolact.inference.engines.eager import check_precision
from yolact.inference.engines.network_graph import NetworkGraph
from yolact.inference.engines.packages import compiled
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.suppression import SuppressionGraph
from yolact.inference.postprocess import detect, in_pixels
from yolact.models.base import resize
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.one_stage.model import YolactModel, level_sizes
from yolact.ops.nms import STATIC
from yolact.ops.resampling import matrix, taps
from yolact.runtime.memory import keep_freed_memory
from yolact.runtime.profiling import Sections, no_sections
from yolact.structures import Detections, RawOutputs

SECTIONS = ("preprocess", "network", "nms", "assembly")
"""What the engine's work is timed as; `network` is all that has weights."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class CompiledEngine:
    """A YOLACT network compiled for the device that it lies on, as it is now: later changes of its weights aren't seen.

    Raises:
        EngineError: fp16 was asked for on the CPU.
    """

    def __init__(self, network: YolactModel, precision: str) -> None:
        self.network = network
        self.device = network.pixel_mean.device
        self.on_cpu = self.device.type == "cpu"
        check_precision(precision, self.device)
        self.dtype = _DTYPES[precision]
        if self.on_cpu:
            keep_freed_memory()
        self._made: dict[Any, Callable[..., Any]] = {}

    def outputs(self, images: Sequence[Tensor], masks: bool, sections: Sections = no_sections) -> RawOutputs:
        """The network's outputs for (3, H, W) uint8 images of any sizes."""
        with sections("preprocess"):
            batch = torch.stack([resize(image, self.network.image_size) for image in images])
        with sections("network"):
            step = 1 if self.on_cpu else len(batch)
            parts = [self._network(part, masks) for part in batch.split(step)]
            offsets, logits, third, *maps = (
                torch.cat(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)
            )
        parameters: Any = ChosenParameters(third, self._rows) if masks and self._rows else third
        return RawOutputs(offsets, logits, parameters, maps[0] if maps else None, None, self._anchors)

    def finish(
        self,
        raw: RawOutputs,
        sizes: Sequence[tuple[int, int]],
        inference: InferenceConfig,
        sections: Sections = no_sections,
        keep_prototypes: bool = False,
    ) -> list[Detections]:
        """Detections from raw outputs; `sizes` are (H, W) of the original images."""
        branch, side = self.network.branch, self.network.image_size
        if inference.suppression not in STATIC:
            return detect(raw, sizes, branch, inference, side, sections, keep_prototypes)
        found = [self._detections(raw, index, size, inference, sections, keep_prototypes) for index, size in enumerate(sizes)]
        if self.on_cpu:  # absent ones were cut off before their masks were made
            return found
        counts = torch.stack([(each.scores >= 0).sum() for each in found]).tolist()  # the host waits for the device here alone
        return [each[:count] for each, count in zip(found, counts, strict=True)]

    def _detections(
        self,
        raw: RawOutputs,
        index: int,
        size: tuple[int, int],
        inference: InferenceConfig,
        sections: Sections,
        keep_prototypes: bool,
    ) -> Detections:
        """Of one image; on a GPU as many as there can be, the absent ones last with a score of -1."""
        with sections("nms"):
            boxes, scores, labels, parameters = self._suppress(raw, index, inference)
        with sections("assembly"):
            maps = None if raw.maps is None else raw.maps[index]
            masks = self._assemble(parameters, maps, boxes, size, inference) if inference.masks else None
            shown = (parameters, maps) if keep_prototypes and maps is not None else (None, None)
            return Detections(in_pixels(boxes, size, inference), scores, labels, masks, *shown)

    @cached_property
    def _anchors(self) -> Tensor:
        return self.network.anchors()

    @cached_property
    def _rows(self) -> ParameterRows | None:
        """What makes the mask parameters of chosen anchors; None where those of all are the network's outputs."""
        head, scales = self.network.head, self.network.config.anchors.scales
        if not self.on_cpu or not is_plain(head.mask):
            return None
        sizes = level_sizes(self.network.image_size, len(scales))
        return ParameterRows(head.mask, head.columns[2], sizes, self.network.branch.activate)

    def _network(self, batch: Tensor, masks: bool) -> tuple[Tensor, ...]:
        chosen = masks and self._rows is not None
        return self._graph(
            ("network", masks, len(batch)), lambda: NetworkGraph(self.network, self.dtype, masks, chosen), (batch,)
        )

    def _suppress(self, raw: RawOutputs, index: int, inference: InferenceConfig) -> tuple[Tensor, ...]:
        """Boxes, scores, labels and mask parameters of the survivors; on a GPU, of the absent ones too."""
        config = _only(
            inference, "suppression nms_iou score_threshold second_score_threshold pre_nms_top_k max_detections cap_cross_class"
        )
        inputs = (raw.offsets[index], raw.logits[index], raw.anchors)
        survivors = self._graph(("nms", repr(config), inputs[1].shape), lambda: SuppressionGraph(config), inputs)
        if self.on_cpu:
            there = int((survivors[1] >= 0).sum())
            survivors = tuple(each[:there] for each in survivors)
        boxes, scores, labels, anchors = survivors
        return boxes, scores, labels, raw.mask_parameters[index, anchors]

    def _assemble(
        self, parameters: Tensor, maps: Tensor | None, boxes: Tensor, size: tuple[int, int], inference: InferenceConfig
    ) -> Tensor | None:
        branch = self.network.branch
        if maps is None or min(size) < 2 or not len(boxes) or not isinstance(branch, PrototypeBranch):
            return branch.assemble(parameters, maps, boxes, size, inference)
        if self.on_cpu:
            return masks_by_box(parameters, maps, boxes, size, inference)
        config = _only(inference, "crop crop_padding mask_threshold")
        height, width = maps.shape[-2:]
        columns, rows = matrix(width, size[1], self.device), taps(height, size[0], self.device)
        dims = {name: Dim(name, min=2, max=2**16) for name in ("n", "height", "width")}
        free, line = {0: dims["n"]}, {0: dims["height"]}
        shapes = (free, None, free, {1: dims["width"]}, (line, line, line))
        parts = []
        for some, corners in zip(
            *(each.split(instances_at_once(height, size[1])) for each in (parameters, boxes)), strict=True
        ):
            twice = len(some) == 1  # a compiled dimension that varies is at least two
            inputs = (some.repeat(2, 1), maps, corners.repeat(2, 1)) if twice else (some, maps, corners)
            key = ("assembly", repr(config), maps.shape)
            made = self._graph(key, lambda: AssemblyGraph(config), (*inputs, columns, rows), shapes)
            parts.append(made[:1] if twice else made)
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _graph(self, key: Any, make: Callable[[], Any], inputs: tuple[Any, ...], shapes: Any = None) -> Any:
        """Call the compiled graph named by `key`, made where this is the first time."""
        key = (*key, torch.get_num_threads())
        if key not in self._made:
            with torch.inference_mode(False):
                graph = make().eval()
            if self.on_cpu:
                self._made[key] = compiled(graph, inputs, shapes)
            else:
                from yolact.inference.engines.gpu import captured

                self._made[key] = captured(graph)
        return self._made[key](*inputs)


def _only(inference: InferenceConfig, names: str) -> InferenceConfig:
    """The defaults but for the fields named, so that graphs that read the same fields are one."""
    return InferenceConfig().replace(**{name: getattr(inference, name) for name in names.split()})
