"""YOLOv3's head: three shapes of anchors per level, objectness, sigmoid classes; darknet's gradients as a loss.

n images, P anchors, g objects, q positives, C classes. Source: darknet `src/yolo_layer.c`; Redmon and Farhadi, "YOLOv3" (2018).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou

from yolact.config.model import YOLOv3Config
from yolact.models.backbones.darknet import DarkConv
from yolact.models.base import Counts
from yolact.models.layers.initialise import he
from yolact.models.necks.yolov3 import MOMENTUM
from yolact.models.one_stage.dense_head import Assignment, Dense, DenseHead, first_of_image, rows
from yolact.models.one_stage.losses import nan_if_any_nonfinite
from yolact.ops.anchors import Sizes
from yolact.ops.matching import Matches
from yolact.structures import Target


class YOLOv3Head(DenseHead):
    """For every anchor: centre in its cell before the sigmoid, log of size in cells, C class logits, logit of objectness.

    A location is a cell: its centre and its sides. The box encoding has the size in cells, so that the shape of an anchor is a
    constant added to the network's output: log of the anchor's side in cells. Differences between encodings are darknet's.
    """

    config: YOLOv3Config
    class_layers = ("outputs",)
    classifier = "outputs.0"
    priors: Tensor
    """(levels, anchors of a cell, 2): log of each anchor's width and height in cells. Not stored."""

    def __init__(self, config: YOLOv3Config, num_classes: int, parameters_per_location: int, sizes: Sizes) -> None:
        super().__init__()
        self.config = config
        self.columns = 5 + num_classes
        self.convs = nn.ModuleList(DarkConv(width, 2 * width, 3, momentum=MOMENTUM) for width in config.neck.widths)
        self.outputs = nn.ModuleList(
            nn.Conv2d(2 * width, len(shapes) * self.columns, 1)
            for width, shapes in zip(config.neck.widths, config.anchors, strict=True)
        )
        self.sides = [side for side, _ in sizes]
        self.per_cell = len(config.anchors[0])
        self.register_locations(sizes, self._cells)
        priors = (
            torch.tensor(config.anchors).log()
            - torch.tensor([math.log(config.image_size / s) for s in self.sides])[:, None, None]
        )
        self.register_buffer("priors", priors, persistent=False)

    def _cells(self) -> Tensor:
        levels = []
        for side in self.sides:
            middle = (torch.arange(side) + 0.5) / side
            centres = torch.stack(torch.meshgrid(middle, middle, indexing="ij")[::-1], dim=-1).reshape(-1, 2)
            levels.append(torch.cat([centres, torch.full_like(centres, 1 / side)], dim=1).repeat_interleave(self.per_cell, 0))
        return torch.cat(levels)

    def initialise(self) -> None:
        self.apply(he)

    def forward(self, levels: Sequence[Tensor], masks: bool = True) -> Dense:
        outputs = []
        for level, conv, output, prior in zip(levels, self.convs, self.outputs, self.priors, strict=True):
            made = rows(output(conv(level)), self.columns)
            size = made[..., 2:4] + prior.repeat(made.shape[1] // self.per_cell, 1)
            outputs.append(torch.cat([made[..., :2], size, made[..., 4:]], dim=-1))
        made = torch.cat(outputs, dim=1)
        return Dense(made[..., :4], made[..., 5:], made[..., :0], made[..., 4])

    def decoding(self) -> Any:
        return ()

    def decode(self, box: Tensor, locations: Tensor) -> Tensor:
        cells = locations[..., 2:]
        centre = locations[..., :2] + (torch.sigmoid(box[..., :2]) - 0.5) * cells
        return box_convert(torch.cat([centre, box[..., 2:].exp() * cells], dim=-1), "cxcywh", "xyxy")

    def scores(self, logits: Tensor, quality: Tensor | None) -> Tensor:
        assert quality is not None
        return torch.sigmoid(logits) * torch.sigmoid(quality)[..., None]

    def assign(self, targets: Sequence[Target]) -> list[Matches]:
        return [self._assign(target) for target in targets]

    def _assign(self, target: Target) -> Matches:
        real = ~target.crowd
        labels = target.labels[real]
        location = self._locations_of(target.boxes[real] / self.config.image_size, torch.zeros_like(labels))
        learned = location >= 0
        numbers = torch.arange(len(labels), device=labels.device)
        objects = torch.full((len(self.locations),), -1, device=labels.device)
        objects = objects.scatter_reduce(0, location[learned], numbers[learned], "amax")  # the later one stays
        classes = torch.where(objects >= 0, labels[objects] + 1, 0) if len(labels) else torch.zeros_like(objects)
        return Matches(classes, objects.clamp(min=0))

    def _locations_of(self, boxes: Tensor, owner: Tensor) -> Tensor:
        """(g,) int64: the one location of each object (g, 4), -1 of one that is not learned.

        It is the anchor whose shape overlaps the object's most, both at one centre, in the cell of the object's centre; of
        equal ones the first.
        """
        matching = self.config.matching
        size, centre = boxes[:, 2:] - boxes[:, :2], (boxes[:, :2] + boxes[:, 2:]) / 2
        shapes = boxes.new_tensor(self.config.anchors).reshape(-1, 2) / self.config.image_size
        shared = torch.minimum(size[:, None], shapes).prod(dim=2)
        anchor = (shared / (size.prod(dim=1)[:, None] + shapes.prod(dim=1) - shared)).argmax(dim=1)
        level = anchor // self.per_cell
        sides = torch.tensor(self.sides, device=boxes.device)
        starts = (sides**2 * self.per_cell).cumsum(0) - sides**2 * self.per_cell
        side = sides[level]
        cell = (centre * side[:, None]).long().minimum(side[:, None] - 1)
        location = starts[level] + (cell[:, 1] * side + cell[:, 0]) * self.per_cell + anchor % self.per_cell
        number = torch.arange(len(owner), device=owner.device) - first_of_image(owner)
        learned = (number < matching.max_objects) & (size >= matching.min_side).all(dim=1)
        return torch.where(learned, location, -1)

    def loss(self, dense: Dense, assignment: Assignment, counts: Counts) -> dict[str, Tensor]:
        """Terms `box`, `objectness`, `class`: the functions whose gradients darknet writes, as a mean over images."""
        weights, images = self.config.loss, max(1, counts["images"])
        at = assignment.image, assignment.location
        boxes = assignment.boxes[assignment.objects]
        wanted = self._encode(boxes, self.locations[assignment.location])
        made, quality = dense.box[at], dense.quality
        assert quality is not None
        centre = F.binary_cross_entropy_with_logits(made[:, :2], wanted[:, :2], reduction="none").sum(dim=1)
        size = (made[:, 2:] - wanted[:, 2:]).square().sum(dim=1) / 2
        box = ((2 - (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)) * (centre + size)).sum()
        objects = torch.zeros_like(quality)
        objects[at] = 1
        counted = (objects > 0) | ~self._ignored(dense.box, assignment)
        objectness = F.binary_cross_entropy_with_logits(quality[counted], objects[counted], reduction="sum")
        classes = F.binary_cross_entropy_with_logits(dense.logits[at], self._classes(dense.logits, assignment), reduction="sum")
        return {
            "box": (box + nan_if_any_nonfinite(dense.box)) * weights.box / images,
            "objectness": (objectness + nan_if_any_nonfinite(quality)) * weights.objectness / images,
            "class": (classes + nan_if_any_nonfinite(dense.logits)) * weights.classification / images,
        }

    @torch.no_grad()
    def _ignored(self, box: Tensor, assignment: Assignment) -> Tensor:
        """(n, P) bool: the predicted box overlaps an object of its image."""
        ignored = torch.zeros(box.shape[:2], dtype=torch.bool, device=box.device)
        for index, own in enumerate(box):
            objects = assignment.boxes[assignment.owner == index]
            if len(objects):
                overlap = box_iou(self.decode(own, self.locations), objects).amax(dim=1)
                ignored[index] = overlap > self.config.matching.ignore_iou
        return ignored

    def _classes(self, logits: Tensor, assignment: Assignment) -> Tensor:
        """(q, C) wanted class probabilities of the positives, 0 or 1."""
        wanted = torch.zeros_like(logits)
        if self.config.matching.union_of_classes:
            location = self._locations_of(assignment.boxes, assignment.owner)
            learned = location >= 0
            wanted[assignment.owner[learned], location[learned], assignment.labels[learned]] = 1
        else:
            wanted[assignment.image, assignment.location, assignment.labels[assignment.objects]] = 1
        return wanted[assignment.image, assignment.location]

    @staticmethod
    def _encode(boxes: Tensor, locations: Tensor) -> Tensor:
        """(q, 4) from xyxy boxes: centre in the cell in 0..1, log of size in cells."""
        wanted = box_convert(boxes, "xyxy", "cxcywh")
        cells = locations[:, 2:]
        centre = (wanted[:, :2] - locations[:, :2]) / cells + 0.5
        return torch.cat([centre, (wanted[:, 2:] / cells).log()], dim=1)
