"""The compiled engine: graphs, each compiled once for this machine, and next to no Python between them.

The forward pass of every model is one graph, which holds the weights. For models with a dense head NMS is a second graph, and
for linear prototypes assembly a third; these serve every network of the same shapes. Everything else, such as greedy NMS, other
masks, mask re-scoring, and all that follows the forward pass of a two-stage model, is the model's own eager code. On the CPU
the forward pass takes a batch image by image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.inference.engines.assembly import AssemblyGraph, assembly_settings, instances_at_once, masks_by_box
from yolact.inference.engines.chosen_parameters import ChosenRaw, ParameterRows
from yolact.inference.engines.engine import check_precision
from yolact.inference.engines.network_graph import NetworkGraph, RawForm
from yolact.inference.engines.packages import compiled
from yolact.inference.engines.passes.joined_head import deferrable
from yolact.inference.engines.suppression import SuppressionGraph, suppression_settings
from yolact.models.base import Model
from yolact.models.masks.mask_branch import Instances
from yolact.models.masks.prototypes import PrototypeBranch, assemble, soft_masks
from yolact.ops.nms import STATIC
from yolact.ops.resampling import matrix, taps
from yolact.runtime.profiling import section
from yolact.structures import Detections

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class CompiledEngine:
    """A model compiled for its device. Later changes of its weights or padding are not seen.

    Raises:
        EngineError: fp16 on the CPU; on the first call, a forward pass that cannot be compiled.
    """

    def __init__(self, model: Model, precision: str) -> None:
        self.model: Any = model
        self.device = model.device
        self.on_cpu = self.device.type == "cpu"
        check_precision(precision, self.device)
        self.dtype = _DTYPES[precision]
        self.section_names = ("preprocess", "network", *model.postprocess_sections)
        self._made: dict[Any, Callable[..., Any]] = {}
        self._forms: dict[bool, RawForm] = {}

    def forward(self, batch: Tensor, masks: bool) -> Any:
        deferred = masks and self._rows is not None
        if masks not in self._forms:
            self._forms[masks] = RawForm(self.model, masks)
        with section("network"):
            step = 1 if self.on_cpu else len(batch)
            parts = [self._network(part, masks, deferred) for part in batch.split(step)]
            tensors = [torch.cat(column) if len(parts) > 1 else column[0] for column in zip(*parts, strict=True)]
        raw = self._forms[masks].raw(tensors)
        if not deferred or self._rows is None:
            return raw
        dense, features = raw.dense, raw.dense.parameters
        return ChosenRaw(dense._replace(parameters=dense.box[..., :0]), raw.context, features, self._rows)

    def postprocess(self, raw: Any, sizes: Sequence[tuple[int, int]], inference: InferenceConfig) -> list[Detections]:
        if self.model.dense_head is None or inference.suppression not in STATIC:
            return self.model.postprocess(raw, sizes, inference)
        found = [self._detections(raw, index, size, inference) for index, size in enumerate(sizes)]
        if self.on_cpu:  # absent ones were cut off before their masks were made
            return found
        counts = torch.stack([(each.scores >= 0).sum() for each in found]).tolist()  # the only synchronisation
        return [each[:count] for each, count in zip(found, counts, strict=True)]

    def _detections(self, raw: Any, index: int, size: tuple[int, int], inference: InferenceConfig) -> Detections:
        """Of one image; on a GPU as many as there can be, the absent ones last with a score of -1."""
        with section("nms"):
            survivors = self._survivors(raw, index, inference)
        with section("assembly"):
            context = tuple(each[index] for each in raw.context)
            branch = self.model.prototypes
            linear = branch is not None and type(branch).masks is PrototypeBranch.masks
            if not linear or not inference.masks:
                return self.model.assembled(survivors, context, size, inference)
            masks = self._assemble(survivors.parameters, context[0], survivors.boxes, size, inference)
            scores = None
            if branch.rescoring is not None:
                soft = soft_masks(context[0], survivors.parameters, survivors.boxes, inference)
                scores = branch.mask_scores(soft, survivors.labels, survivors.scores, inference)
            return self.model.detections(survivors, context, size, inference, masks, scores)

    @cached_property
    def _rows(self) -> ParameterRows | None:
        """Computes the mask parameters of chosen anchors; None if the network's outputs hold those of all."""
        head = self.model.dense_head
        conv = deferrable(head)
        if not self.on_cpu or conv is None:
            return None
        return ParameterRows(conv, head.columns[2], head.level_sizes, self.model.branch.activate)

    def _network(self, batch: Tensor, masks: bool, deferred: bool) -> tuple[Tensor, ...]:
        return self._graph(
            ("network", masks, len(batch)), lambda: NetworkGraph(self.model, self.dtype, masks, deferred), (batch,)
        )

    def _survivors(self, raw: Any, index: int, inference: InferenceConfig) -> Instances:
        """The survivors of NMS; on a GPU, the absent ones too."""
        config, head = suppression_settings(inference), self.model.dense_head
        dense, locations = raw.dense, head.locations
        quality = () if dense.quality is None else (dense.quality[index],)
        inputs = (dense.box[index], dense.logits[index], locations, *quality)
        survivors = self._graph(("nms", repr(config)), lambda: SuppressionGraph(head, config), inputs)
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
        config = assembly_settings(inference)
        height, width = maps.shape[-2:]
        columns, rows = matrix(width, size[1], self.device), taps(height, size[0], self.device)
        count, step = len(boxes), min(len(boxes), instances_at_once(height, size[1]))
        missing = -count % step  # chunks of one size share a graph
        chunks = (F.pad(each, (0, 0, 0, missing)).split(step) for each in (parameters, boxes))
        parts = [
            self._graph(("assembly", repr(config)), lambda: AssemblyGraph(config), (some, maps, corners, columns, rows))
            for some, corners in zip(*chunks, strict=True)
        ]
        return torch.cat(parts)[:count] if len(parts) > 1 else parts[0]

    def _graph(self, key: Any, make: Callable[[], Any], inputs: tuple[Any, ...]) -> Any:
        """Call the compiled graph named by `key`, made on the first call."""
        key = (*key, torch.get_num_threads())
        if key not in self._made:
            with torch.inference_mode(False):
                graph = make().eval()
            if self.on_cpu:
                self._made[key] = compiled(graph, inputs)
            else:
                from yolact.inference.engines.gpu import captured

                self._made[key] = captured(graph)
        return self._made[key](*inputs)
