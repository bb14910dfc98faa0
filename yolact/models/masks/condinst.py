"""CondInst's mask branch: a small network per object, over mask features of the whole image. Boxes are read by `crop` only.

d instances, m mask features, (h, w) their size at stride 8, input of side S.
Source: Tian, Shen, Chen, "Conditional Convolutions for Instance Segmentation" (ECCV 2020); AdelaiDet `adet/modeling/condinst/`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import DynamicMaskConfig
from yolact.models.layers.conv_norm import conv_norm, kaiming
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.ops import mask_assembly
from yolact.ops import masks as mask_ops
from yolact.ops.resampling import aligned_bilinear

STRIDE = 8
"""Input pixels per cell of the mask features."""


class DynamicMaskBranch(MaskBranch):
    """Predicts per location the weights of a network of 1x1 convolutions, which turns mask features into a mask."""

    section = "mask_features"
    context_names = ("mask_features",)

    def __init__(self, config: DynamicMaskConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.refine = nn.ModuleList(conv_norm(channels, width) for _ in range(3))
        self.tower = nn.Sequential(*(conv_norm(width, width) for _ in range(config.convs)))
        self.output = nn.Conv2d(width, config.features, 1)
        self.weights = [after * before for after, before in config.layers]
        self.biases = [after for after, _ in config.layers]
        self.parameters_per_location = sum(self.weights) + sum(self.biases)
        self.map_count = config.features

    def initialise(self) -> None:
        self.apply(kaiming)

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor]:
        """(n, m, h, w) mask features at the size of P3."""
        height, width = levels[0].shape[-2:]
        total = self.refine[0](levels[0])
        for index in (1, 2):
            refined = self.refine[index](levels[index])
            total = total + _fitted(self._upsample(refined, 2**index), height, width)
        return (self.output(self.tower(total)),)

    def logits(self, parameters: Tensor, locations: Tensor, features: Tensor) -> Tensor:
        """Run the instances' networks over the mask features of their image.

        Args:
            parameters: (d, p): the weights of all layers, each (outputs, inputs), then all biases. The first two inputs of
                the first layer are the relative x and y, if configured.
            locations: (d, 4) cx, cy, w, h.
            features: (m, h, w).

        Returns:
            (d, h, w).
        """
        d, (height, width) = len(parameters), features.shape[-2:]
        values = parameters.split([*self.weights, *self.biases], dim=1)
        count = len(self.weights)
        weights = [each.reshape(d, *shape) for each, shape in zip(values[:count], self.config.layers, strict=True)]
        biases = [each[:, :, None] for each in values[count:]]
        first = weights[0][:, :, -len(features) :]  # (d, outputs, m)
        made = (first.flatten(0, 1) @ features.flatten(1)).reshape(d, -1, height * width)
        if self.config.coordinates:
            made = made + self._coordinates(weights[0][:, :, :2], locations, height, width)
        made = made + biases[0]
        for weight, bias in zip(weights[1:], biases[1:], strict=True):
            made = weight @ F.relu(made) + bias
        return made.reshape(d, height, width)

    def _coordinates(self, weights: Tensor, locations: Tensor, height: int, width: int) -> Tensor:
        """What the relative x and y, with their weights (d, outputs, 2), add to the first layer: (d, outputs, h * w)."""
        unit = self.config.coordinate_unit * locations[:, 2:3]
        x, y = (
            (locations[:, axis, None] - (torch.arange(cells, device=unit.device) + 0.5) * (STRIDE / self.image_size)) / unit
            for axis, cells in enumerate((width, height))
        )
        columns, lines = weights[:, :, :1] * x[:, None], weights[:, :, 1:] * y[:, None]  # (d, outputs, w), (d, outputs, h)
        return (lines[..., None] + columns[:, :, None]).flatten(2)

    def _soft(self, parameters: Tensor, locations: Tensor, features: Tensor) -> Tensor:
        """(d, h', w') mask probabilities at the output stride."""
        logits = self.logits(parameters, locations, features)
        return torch.sigmoid(self._upsample(logits[:, None], STRIDE // self.config.output_stride)[:, 0])

    def _cropped(self, soft: Tensor, boxes: Tensor) -> Tensor:
        """(d, h', w') at the output stride, zero beyond a pixel around the boxes (d, 4)."""
        cells = torch.tensor([soft.shape[-1], soft.shape[-2]], device=boxes.device) * self.config.output_stride
        return mask_assembly.crop(soft, boxes * self.image_size / cells.repeat(2))

    def _upsample(self, maps: Tensor, factor: int) -> Tensor:
        if self.config.upsample == "aligned" or factor == 1:
            return aligned_bilinear(maps, factor)
        return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Dice loss of whole masks at the output stride, where the ground truth is sampled, not averaged.

        Beyond `max_masks_per_image` positives, a random choice represents all.
        """
        (features,) = context
        chosen, counts, scale = truth.choose(self.config.max_masks_per_image)
        if not len(chosen):  # zero, but part of the graph
            return {"mask": (instances.parameters.sum() + features.sum()) * 0.0}
        chosen = chosen.to(features.device)
        parts = zip(
            instances.parameters[chosen].split(counts), instances.locations[chosen].split(counts), features, strict=True
        )
        made = torch.cat([self._soft(*part) for part in parts if len(part[0])])
        if self.config.crop:
            made = self._cropped(made, truth.boxes[truth.objects[chosen]])
        step = self.config.output_stride
        wanted = truth.masks[:, step // 2 :: step, step // 2 :: step][truth.objects[chosen]].to(made)
        dice = dice_loss(made[:, : wanted.shape[1], : wanted.shape[2]], wanted)
        return {"mask": (dice * scale.to(dice)).sum() * self.config.loss_weight}

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        side, found = self.image_size, [instances.scores.new_zeros((0, *size), dtype=torch.bool)]
        parts = (instances.parameters, instances.locations, instances.boxes)
        for parameters, locations, boxes in zip(
            *(each.split(mask_ops.instances_at_once((side, side))) for each in parts), strict=True
        ):
            if len(parameters):
                soft = self._soft(parameters, locations, context[0])
                soft = self._cropped(soft, boxes) if self.config.crop else soft
                whole = self._upsample(soft[:, None], self.config.output_stride)[:, 0, :side, :side]
                found.append(mask_ops.binarize(whole, size, inference.mask_threshold))
        return Masks(torch.cat(found))


def dice_loss(made: Tensor, wanted: Tensor, smooth: float = 1e-5) -> Tensor:
    """(d,) 1 - dice of probabilities (d, h, w) against 0/1 masks of the same shape; 1 for an empty mask.

    Args:
        smooth: added to the divisor, the sum of all squares.
    """
    made, wanted = made.flatten(1), wanted.flatten(1)
    overlap = 2 * (made * wanted).sum(dim=1)
    return 1 - overlap / (made.square().sum(dim=1) + wanted.square().sum(dim=1) + smooth)


def _fitted(maps: Tensor, height: int, width: int) -> Tensor:
    """Maps cut to a size; where they fall short, as halvings may round down, their last row and column are repeated."""
    below, right = max(0, height - maps.shape[-2]), max(0, width - maps.shape[-1])
    return (F.pad(maps, (0, right, 0, below), mode="replicate") if below or right else maps)[..., :height, :width]
