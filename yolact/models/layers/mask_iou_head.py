"""Mask scoring: a head that predicts the IoU of a mask with its object, its target and its loss.

d masks, each in the frame of a region; s the side of the region's pooled features, 2s that of its mask.
Source: Huang et al., "Mask Scoring R-CNN" (CVPR 2019); the authors' maskscoring_rcnn `roi_heads/maskiou_head`. CenterMask has
the same head, with as many outputs as classes, where Mask Scoring R-CNN has one more for background.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MaskIoUHead(nn.Module):
    """Convolutions, of which the last halves the side, then two fully connected layers: an IoU for every class.

    The output is linear, as in both official codes, so that an IoU may come out below 0 or above 1.

    Args:
        channels: of the regions' features.
        outputs: numbers per region: the classes, with the background if the mask head has it.
        width: channels of the convolutions.
        convs: how many 3x3 convolutions.
        units: of each of the two fully connected layers.
        side: s.
    """

    def __init__(
        self, channels: int, outputs: int, width: int = 256, convs: int = 4, units: int = 1024, side: int = 14
    ) -> None:
        super().__init__()
        strides = [1] * (convs - 1) + [2]
        self.convs = nn.ModuleList(
            nn.Conv2d(width if number else channels + 1, width, 3, stride=stride, padding=1)
            for number, stride in enumerate(strides)
        )
        self.hidden = nn.ModuleList([nn.Linear(width * ((side + 1) // 2) ** 2, units), nn.Linear(units, units)])
        self.output = nn.Linear(units, outputs)

    def initialise(self) -> None:
        """Draw the weights: convolutions normal by fan-out, hidden layers uniform by fan-in, the output N(0, 0.01)."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, a=1)
        nn.init.normal_(self.output.weight, std=0.01)
        for name, value in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(value)

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Predicted IoUs (d, outputs).

        Args:
            features: (d, c, s, s) as pooled for the mask head.
            masks: (d, 2s, 2s) probabilities of one class per region: the object's in training, the predicted one in inference.
        """
        x = torch.cat([features, F.max_pool2d(masks[:, None], 2)], dim=1)
        for conv in self.convs:
            x = F.relu(conv(x))
        x = x.flatten(1)
        for layer in self.hidden:
            x = F.relu(layer(x))
        return self.output(x)


@torch.no_grad()
def mask_iou_targets(logits: Tensor, wanted: Tensor, share: Tensor, threshold: float = 0.0) -> Tensor:
    """(d,) float32 in [0, 1]: IoU of each mask with its whole object, of which the region may show only a part.

    What lies outside the region counts as missed: the object's area in cells of the mask is its area in the region divided by
    `share`.

    Args:
        logits: (d, h, w) of the masks.
        wanted: (d, h, w) the object in the region; a cell belongs to it above one half.
        share: (d,) in [0, 1]: the part of the object's area that lies in the region (`yolact.ops.regions.area_share`).
        threshold: a cell belongs to the mask when its logit is above this. 0 is a probability of one half; mmdetection has 0.5.
    """
    made, real = (logits > threshold).flatten(1), (wanted > 0.5).flatten(1)
    shared = (made & real).sum(dim=1)
    whole = real.sum(dim=1) / share.clamp(min=1e-10)
    union = made.sum(dim=1) + whole - shared
    return (shared / union.clamp(min=1)).float()


def mask_iou_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Half the squared error, mean over the masks of one image whose target is above 0; 0 where there is none.

    Official quirk: a mask that misses its object teaches nothing.

    Args:
        predicted: (d,) IoU of the object's class.
        wanted: (d,) `mask_iou_targets`.
    """
    counted = (wanted > 0).to(predicted)
    return (0.5 * (predicted - wanted).square() * counted).sum() / counted.sum().clamp(min=1)


def of_class(values: Tensor, labels: Tensor) -> Tensor:
    """(d, ...) of (d, C, ...): of each row the entry of its label."""
    return values[torch.arange(len(labels), device=labels.device), labels]
