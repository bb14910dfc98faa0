"""BlendMask's mask branch: attention maps per location weigh a few bases, which are pooled from the object's box.

n images, d instances, g objects, K bases of (h, w), attention maps of M x M, masks of R x R, input of side S.
Source: Chen, Sun, Tian et al., "BlendMask" (CVPR 2020); AdelaiDet `adet/modeling/blendmask/`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import roi_align

from yolact.config.inference import InferenceConfig
from yolact.config.mask_branch import BlendMaskConfig
from yolact.models.layers.conv_norm import conv_norm, kaiming
from yolact.models.masks.mask_branch import Instances, MaskBranch, Masks, Truth
from yolact.ops import masks as mask_ops
from yolact.ops.regions import masks_in_regions


class BlendBranch(MaskBranch):
    """Bases for the whole image, K attention maps per location, and their blend inside the box."""

    section = "bases"
    context_names = ("bases",)
    weighted = True

    def __init__(self, config: BlendMaskConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        width = config.channels
        self.refine = nn.ModuleList(conv_norm(channels, width) for _ in range(3))
        self.tower = nn.Sequential(
            *(conv_norm(width, width) for _ in range(config.convs)),
            nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
            conv_norm(width, width),
            nn.Conv2d(width, config.bases, 1),
        )
        self.parameters_per_location = config.bases * config.attention**2
        self.map_count = config.bases

    def initialise(self) -> None:
        self.apply(kaiming)

    def context(self, levels: Sequence[Tensor]) -> tuple[Tensor]:
        """(n, K, h, w) bases, h and w twice those of P3."""
        size = levels[0].shape[-2:]
        total = self.refine[0](levels[0])
        for refine, level in zip(self.refine[1:], levels[1:3], strict=True):
            total = total + F.interpolate(refine(level), size=size, mode="bilinear", align_corners=False)
        return (self.tower(total),)

    def blend(self, bases: Tensor, image: Tensor, boxes: Tensor, parameters: Tensor) -> Tensor:
        """(d, R, R) mask logits in the frame of each box; with `merge: sigmoid` probabilities.

        Args:
            bases: (n, K, h, w).
            image: (d,) int64, the image of each box.
            boxes: (d, 4).
            parameters: (d, K * M * M) attention, basis by basis and row by row.
        """
        return self._weigh(self._pool(bases, image, boxes), parameters)

    def _pool(self, bases: Tensor, image: Tensor, boxes: Tensor) -> Tensor:
        """(d, K, R, R): each basis at the centres of the box's R x R bins."""
        height, width = bases.shape[-2:]
        corners = boxes * torch.tensor([width, height, width, height], device=boxes.device)
        regions = torch.cat([image[:, None].to(corners), corners], dim=1)
        return roi_align(bases, regions, self.config.resolution, sampling_ratio=1, aligned=True)

    def _weigh(self, pooled: Tensor, parameters: Tensor) -> Tensor:
        """(d, R, R) from pooled bases (d, K, R, R) and attention (d, K * M * M)."""
        config = self.config
        if not len(pooled):  # interpolate refuses an empty tensor
            return pooled.sum(dim=1) + parameters.sum()
        maps = parameters.reshape(-1, config.bases, config.attention, config.attention)
        size = (config.resolution, config.resolution)
        smooth = config.attention_upsample == "bilinear"
        maps = F.interpolate(maps, size=size, mode=config.attention_upsample, align_corners=False if smooth else None)
        match config.merge:
            case "softmax":
                return (pooled * maps.softmax(dim=1)).sum(dim=1)
            case "sum":
                return (pooled * maps).sum(dim=1)
            case "sigmoid":
                return (pooled.sigmoid() * maps.sigmoid())[:, 0]

    def loss(self, instances: Instances, context: tuple[Tensor, ...], truth: Truth) -> dict[str, Tensor]:
        """Binary cross entropy of the masks in the true boxes, mean over their pixels, weighed by `truth.weights`."""
        (bases,) = context
        kept, place = truth.objects.unique(return_inverse=True)
        owner = torch.empty_like(kept).scatter_(0, place, instances.image)
        pooled = self._pool(bases, owner, truth.boxes[kept])[place]
        wanted = self.targets(truth.masks[kept], truth.boxes[kept])[place]
        made = self._weigh(pooled, instances.parameters)
        if self.config.merge == "sigmoid":
            per_pixel = F.binary_cross_entropy(made.nan_to_num(), wanted, reduction="none")
        else:
            per_pixel = F.binary_cross_entropy_with_logits(made, wanted, reduction="none")
        per_mask = per_pixel.mean(dim=(1, 2))
        weighed = per_mask if truth.weights is None else per_mask * truth.weights
        return {"mask": weighed.sum() * self.config.loss_weight}

    def targets(self, masks: Tensor, boxes: Tensor) -> Tensor:
        """(g, R, R) float 0/1: masks (g, S, S), each pooled from its own box (g, 4), where at least half is covered."""
        number = torch.arange(len(masks), device=boxes.device)
        return masks_in_regions(masks, number, boxes * self.image_size, self.config.resolution)

    def masks(
        self, instances: Instances, context: tuple[Tensor, ...], size: tuple[int, int], inference: InferenceConfig
    ) -> Masks:
        boxes = instances.boxes.clamp(0, 1) if self.config.clip_boxes == "before_pooling" else instances.boxes
        made = self.blend(context[0][None], torch.zeros_like(instances.image), boxes, instances.parameters)
        soft = made if self.config.merge == "sigmoid" else made.sigmoid()
        return Masks(mask_ops.sample(soft, mask_ops.to_pixels(instances.boxes, size), size, inference.mask_threshold))
