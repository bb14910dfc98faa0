"""The compiled engine: graphs, each compiled once for this machine, and next to no Python between them.

The network's graph holds the weights; suppression and assembly serve every network of the same shapes. On the CPU a batch is
looked at image by image. Greedy suppression, fc-mask's assembly, images narrower than two pixels, and all after the network of
heads without anchors go through the reference's own code.
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
from yolact.inference.engines.chosen_parameters import ChosenRaw, ParameterRows
from yolact.inference.engines.engine import EngineError, check_precision
from yolact.inference.engines.network_graph import NetworkGraph
from yolact.inference.engines.packages import compiled
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.suppression import SuppressionGraph
from yolact.inference.engines.whole_graph import WholeGraph
from yolact.models.base import Model
from yolact.models.masks.mask_branch import Instances
from yolact.models.masks.prototypes import PrototypeBranch, assemble
from yolact.models.one_stage.anchor_head import AnchorHead
from yolact.models.one_stage.dense_head import Dense
from yolact.models.one_stage.model import OneStage, Raw
from yolact.ops.locations import level_sizes
from yolact.ops.nms import STATIC
from yolact.ops.resampling import matrix, taps
from yolact.runtime.profiling import section
from yolact.structures import Detections

SECTIONS = ("preprocess", "network", "nms", "assembly")
"""`network` is all that has weights."""
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class CompiledEngine:
    """A one-stage model compiled for its device. Later changes of its weights or padding are not seen.

    Raises:
        EngineError: another model, or fp16 on the CPU.
    """

    section_names = SECTIONS

    def __init__(self, model: Model, precision: str) -> None:
        if not isinstance(model, OneStage):
            raise EngineError(
                f"inference.engine.kind=compiled: only one-stage networks have a graph, not {type(model).__name__}; "
                "set inference.engine.kind to eager"
            )
        self.model, self.device = model, model.device
        self.anchored = isinstance(model.head, AnchorHead)
        self.on_cpu = self.device.type == "cpu"
        check_precision(precision, self.device)
        self.dtype = _DTYPES[precision]
        self._made: dict[Any, Callable[..., Any]] = {}

    def forward(self, batch: Tensor, masks: bool) -> Raw | ChosenRaw:
        with section("network"):
            step = 1 if self.on_cpu else len(batch)
            parts = [self._network(part, masks) for part in batch.split(step)]
            columns = [torch.cat(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
        if not self.anchored:
            box, logits, parameters, quality, *context = columns
            return Raw(Dense(box, logits, parameters, quality if quality.shape[1] else None), tuple(context), None)
        box, logits, third, *context = columns
        if masks and self._rows:
            return ChosenRaw(Dense(box, logits, box[..., :0], None), tuple(context), third, self._rows)
        return Raw(Dense(box, logits, third, None), tuple(context), None)

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        if not self.anchored or inference.suppression not in STATIC:
            return self.model.postprocess(raw, sizes, inference)
        found = [self._detections(raw, index, size, inference) for index, size in enumerate(sizes)]
        if self.on_cpu:  # absent ones were cut off before their masks were made
            return found
        counts = torch.stack([(each.scores >= 0).sum() for each in found]).tolist()  # the only synchronisation
        return [each[:count] for each, count in zip(found, counts, strict=True)]

    def _detections(self, raw: Raw | ChosenRaw, index: int, size: tuple[int, int], inference: InferenceConfig) -> Detections:
        """Of one image; on a GPU as many as there can be, the absent ones last with a score of -1."""
        with section("nms"):
            survivors = self._survivors(raw, index, inference)
        with section("assembly"):
            context = tuple(each[index] for each in raw.context)
            linear = isinstance(self.model.branch, PrototypeBranch) and type(self.model.branch).masks is PrototypeBranch.masks
            if not linear or not inference.masks:
                return self.model.assembled(survivors, context, size, inference)
            masks = self._assemble(survivors.parameters, context[0], survivors.boxes, size, inference)
            return self.model.detections(survivors, context, size, inference, masks, None)

    @cached_property
    def _rows(self) -> ParameterRows | None:
        """Computes the mask parameters of chosen anchors; None if the network's outputs hold those of all."""
        head, branch = self.model.head, self.model.branch
        if not self.on_cpu or branch is None or not isinstance(head, AnchorHead) or not is_plain(head.mask):
            return None
        sizes = level_sizes(self.model.image_size, len(head.config.anchors.scales))
        return ParameterRows(head.mask, head.columns[2], sizes, branch.activate)

    def _network(self, batch: Tensor, masks: bool) -> tuple[Tensor, ...]:
        def graph() -> NetworkGraph | WholeGraph:
            if not self.anchored:
                return WholeGraph(self.model, self.dtype, masks)
            return NetworkGraph(self.model, self.dtype, masks, chosen=masks and self._rows is not None)

        return self._graph(("network", masks, len(batch)), graph, (batch,))

    def _survivors(self, raw: Raw | ChosenRaw, index: int, inference: InferenceConfig) -> Instances:
        """The survivors of NMS; on a GPU, the absent ones too."""
        config = _only(
            inference, "suppression nms_iou score_threshold second_score_threshold pre_nms_top_k max_detections cap_cross_class"
        )
        locations = self.model.head.locations
        inputs = (raw.dense.box[index], raw.dense.logits[index], locations)
        survivors = self._graph(("nms", repr(config), inputs[1].shape), lambda: SuppressionGraph(config), inputs)
        if self.on_cpu:
            there = int((survivors[1] >= 0).sum())
            survivors = tuple(each[:there] for each in survivors)
        boxes, scores, labels, kept = survivors
        parameters = raw.parameters_of(index, kept)
        return Instances(torch.full_like(labels, index), boxes, labels, scores, parameters, locations[kept])

    def _assemble(
        self, parameters: Tensor, maps: Tensor, boxes: Tensor, size: tuple[int, int], inference: InferenceConfig
    ) -> Tensor:
        if min(size) < 2 or not len(boxes):
            return assemble(maps, parameters, boxes, size, inference)
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
