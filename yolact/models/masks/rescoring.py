"""Fast mask re-scoring: a small network sees a whole mask, and nothing else, and predicts its IoU with the object.

n masks of (h, w) prototype pixels, C classes. Source: YOLACT++ (TPAMI 2020) section on mask re-scoring; reference `yolact.py`
FastMaskIoUNet, `layers/modules/multibox_loss.py` mask_iou_loss.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from yolact.config.mask_branch import RescoringConfig


class MaskIoUNet(nn.Module):
    """(n, h, w) mask probabilities, zero outside their boxes, to (n, C) IoUs; not negative, may exceed 1."""

    def __init__(self, config: RescoringConfig, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2) for a, b in pairwise((1, *config.channels)))
        self.output = nn.Conv2d(config.channels[-1], num_classes, 1)

    def forward(self, masks: Tensor) -> Tensor:
        features = masks[:, None]
        for conv in self.convs:
            features = F.relu(conv(features))
        return F.relu(self.output(features)).amax(dim=(2, 3))

    def ious(self, masks: Tensor, labels: Tensor) -> Tensor:
        """(n,) predicted IoUs of masks (n, h, w) as objects of the classes `labels` (n,) int64."""
        return self(masks).gather(1, labels[:, None])[:, 0]

    def learns_from(self, truth: Tensor) -> Tensor:
        """(n,) bool: which of (n, h, w) 0/1 masks of objects are large enough."""
        return truth.sum(dim=(1, 2)) > self.config.smallest_area

    def loss(self, masks: Tensor, truth: Tensor, labels: Tensor) -> Tensor:
        """Smooth L1 (beta 1) of the predicted IoUs, summed over the masks of large enough objects, weighted.

        The gradient also reaches the masks, as in the official code.

        Args:
            masks: (n, h, w) probabilities, cropped.
            truth: (n, h, w) 0/1, not cropped.
            labels: (n,) int64 of the objects.
        """
        chosen = self.learns_from(truth)
        masks, truth = masks[chosen], truth[chosen]
        made, wanted = self.ious(masks, labels[chosen]), binary_ious(masks.detach(), truth)
        return F.smooth_l1_loss(made, wanted, reduction="sum") * self.config.loss_weight


def binary_ious(masks: Tensor, truth: Tensor) -> Tensor:
    """(n,) IoU of masks above one half with 0/1 masks, both (n, h, w); 0 where both are empty."""
    found, there = masks > 0.5, truth > 0.5
    shared, either = (found & there).sum(dim=(1, 2)), (found | there).sum(dim=(1, 2))
    return shared / either.clamp(min=1)
