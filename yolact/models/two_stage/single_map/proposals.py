"""Region proposals on one map: torchvision's RPN, whose convolutions belong to the forward pass.

torchvision's own `forward` detaches the boxes and forgets which anchors they come from; these keep their gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead, concat_box_prediction_layers
from torchvision.ops import clip_boxes_to_image, nms

from yolact.config.model.single_map import ProposalConfig
from yolact.models.layers.initialise import normal

STRIDE = 16
"""Input pixels per cell of the map."""
_RATIOS = (0.5, 1.0, 2.0)
_SMALLEST = 1e-3
"""Sides of proposals in input pixels; torchvision's."""


class ProposalNetwork(RegionProposalNetwork):
    """Anchors of 3 ratios (height / width) at the centres of the cells; greedy NMS."""

    def __init__(self, config: ProposalConfig, in_channels: int) -> None:
        anchors = AnchorGenerator((config.anchor_sizes,), (_RATIOS,))
        counts = {"training": config.count, "testing": config.count}
        super().__init__(
            anchors,
            _Head(in_channels, config.channels, anchors.num_anchors_per_location()[0]),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=config.sampled_anchors,
            positive_fraction=0.5,
            pre_nms_top_n={"training": config.before_nms, "testing": config.before_nms},
            post_nms_top_n=counts,
            nms_thresh=config.nms_iou,
        )

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, A) that an anchor holds an object, and box offsets (n, A, 4), of the maps (n, c, h, w)."""
        logits, offsets = concat_box_prediction_layers(*self.head([features]))
        return logits.reshape(len(features), -1), offsets.reshape(len(features), -1, 4)

    def anchors(self, side: int, device: torch.device) -> Tensor:
        """(A, 4) float32 xyxy in input pixels, for a square input of `side` pixels."""
        self.anchor_generator.set_cell_anchors(torch.float32, device)
        stride = torch.tensor(STRIDE, device=device)
        cells = -(-side // STRIDE)
        (corners,) = self.anchor_generator.grid_anchors([[cells, cells]], [[stride, stride]])
        return corners + STRIDE / 2

    def proposals(self, logits: Tensor, offsets: Tensor, anchors: Tensor, side: int) -> Tensor:
        """The best boxes of one image after NMS, clipped to it, with gradients to the offsets.

        Args:
            logits: (A,) of `predict`.
            offsets: (A, 4).
            anchors: (A, 4).
            side: of the input in pixels.

        Returns:
            (q, 4) xyxy in input pixels, best first.
        """
        best = logits.detach().topk(min(len(logits), self.pre_nms_top_n())).indices
        boxes = clip_boxes_to_image(self.box_coder.decode_single(offsets[best], anchors[best]), (side, side))
        large = ((boxes[:, 2:] - boxes[:, :2]) >= _SMALLEST).all(dim=1)
        boxes, scores = boxes[large], logits.detach()[best][large]
        return boxes[nms(boxes.detach(), scores, self.nms_thresh)[: self.post_nms_top_n()]]

    def losses(self, logits: Tensor, offsets: Tensor, anchors: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """torchvision's losses of one image with these objects (m, 4); which anchors count is drawn at random."""
        labels, matched = self.assign_targets_to_anchors([anchors], [{"boxes": boxes}])
        wanted = self.box_coder.encode(matched, [anchors])
        objectness, box = self.compute_loss(logits, offsets, labels, list(wanted))
        return {"objectness": objectness, "rpn_box": box}


class _Head(RPNHead):
    """torchvision's, whose 3x3 convolution may change the number of channels."""

    def __init__(self, in_channels: int, channels: int, anchors: int) -> None:
        super().__init__(channels, anchors)
        conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        normal(conv, 0.01)
        self.conv = nn.Sequential(conv, nn.ReLU())
