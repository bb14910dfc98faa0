"""Non-maximum suppression: from boxes and class scores to the survivors. One function per definition.

P anchors, C classes, d survivors at most. Scores are softmax probabilities of the foreground classes. Only anchors whose best
foreground probability is above `score_threshold` are candidates. Shapes of `fast_nms` and `cross_class_nms` don't depend on
the data, so that the compiled engine runs the same code: absent survivors come last, with the score -1. The greedy methods
return present survivors only.

Source: paper section 3.5 (Fast NMS); reference `layers/functions/detection.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import batched_nms, box_iou

from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig
from yolact.runtime.compiler import materialize

_ABSENT = -1.0
_GROUPS = 16
_INDEX = 0xFFFFFFFF


class Kept(NamedTuple):
    """Survivors of one image, best score first."""

    anchors: Tensor
    """(n,) int64 indices into the P anchors."""
    labels: Tensor
    """(n,) int64 in [0, C)."""
    scores: Tensor
    """(n,) float32; -1 marks an absent one."""

    def present(self) -> Kept:
        """The survivors without the absent ones."""
        count = int((self.scores > _ABSENT).sum())
        return Kept(self.anchors[:count], self.labels[:count], self.scores[:count])


def suppress(boxes: Tensor, scores: Tensor, config: InferenceConfig, image_size: int = 1, levels: Sequence[int] = ()) -> Kept:
    """Apply the suppression that `config.suppression` names; the present survivors.

    Args:
        boxes: (P, 4) float32 xyxy, decoded, as fractions of the input's side.
        scores: (P, C) float32 foreground probabilities.
        config: thresholds and caps.
        image_size: side of the input in pixels; only `traditional` depends on it.
        levels: how many of the P anchors are on each pyramid level, in their order; read with `level_top_k` only.

    Raises:
        ConfigError: the suppression is one of masks.
    """
    if config.suppression in ("matrix", "greedy_mask"):
        raise ConfigError(
            f"inference.suppression {config.suppression!r} compares masks, which this model makes only of the boxes that "
            "survive: choose one of boxes, such as 'fast' or 'standard'",
            "inference.suppression",
        )
    passed = scores.amax(dim=1) > config.score_threshold
    if config.suppression in STATIC:
        return STATIC[config.suppression](boxes, scores, passed, config).present()
    if config.suppression == "standard":
        return standard_nms(boxes, scores, config, levels)
    return traditional_nms(boxes, scores, config, image_size, levels)


def fast_nms(boxes: Tensor, scores: Tensor, passed: Tensor, config: InferenceConfig) -> Kept:
    """Fast NMS: per class, a box goes when *any* better box, removed or not, overlaps it by more than `nms_iou`.

    Of each class the best `pre_nms_top_k` boxes enter. Scores below the threshold stay in for anchors that passed by another
    class, unless `second_score_threshold`.

    Args:
        passed: (P,) bool: the candidates.
    """
    top, anchor = best(torch.where(passed, scores.t(), _ABSENT), config.pre_nms_top_k)  # (C, q)
    stays = (_worst_overlap(boxes[anchor]) <= config.nms_iou) & (top > _ABSENT)
    if config.second_score_threshold:
        stays = stays & (top > config.score_threshold)
    score, index = best(torch.where(stays, top, _ABSENT).reshape(1, -1), config.max_detections)
    return Kept(anchor.reshape(-1)[index[0]], index[0] // top.shape[1], score[0])


def cross_class_nms(boxes: Tensor, scores: Tensor, passed: Tensor, config: InferenceConfig) -> Kept:
    """Fast NMS over all classes at once: each anchor stands for its best class, the best `pre_nms_top_k` anchors enter."""
    highest, label = scores.max(dim=1)
    top, anchor = best(torch.where(passed, highest, _ABSENT)[None], config.pre_nms_top_k)  # (1, q)
    stays = _worst_overlap(boxes[anchor]) <= config.nms_iou
    cap = config.max_detections if config.cap_cross_class else top.shape[1]
    score, index = best(torch.where(stays, top, _ABSENT), cap)
    chosen = anchor[0, index[0]]
    return Kept(chosen, label[chosen], score[0])


def no_nms(boxes: Tensor, scores: Tensor, passed: Tensor, config: InferenceConfig) -> Kept:
    """The best `max_detections` scores above the threshold of all classes and locations: for heads that predict peaks."""
    score, index = best(torch.where(scores > config.score_threshold, scores, _ABSENT).reshape(1, -1), config.max_detections)
    return Kept(index[0] // scores.shape[1], index[0] % scores.shape[1], score[0])


STATIC = {"fast": fast_nms, "cross_class": cross_class_nms, "none": no_nms}
"""The methods whose shapes don't depend on the data."""


def standard_nms(boxes: Tensor, scores: Tensor, config: InferenceConfig, levels: Sequence[int] = ()) -> Kept:
    """Greedy NMS per class (torchvision's): a box goes when a better box *that stays* overlaps it by more than `nms_iou`."""
    return _greedy(boxes, scores, config, config.nms_iou, levels)


def traditional_nms(
    boxes: Tensor, scores: Tensor, config: InferenceConfig, image_size: int, levels: Sequence[int] = ()
) -> Kept:
    """The official code's greedy NMS: sides counted in pixels plus one, and an overlap of exactly `nms_iou` removes."""
    pixels = boxes * image_size
    plus_one = torch.cat([pixels[:, :2], pixels[:, 2:] + 1], dim=1)
    just_below = torch.nextafter(torch.tensor(config.nms_iou), torch.tensor(0.0)).item()
    return _greedy(plus_one, scores, config, just_below, levels)


def _greedy(boxes: Tensor, scores: Tensor, config: InferenceConfig, threshold: float, levels: Sequence[int]) -> Kept:
    label, anchor = torch.nonzero(scores.t() > config.score_threshold, as_tuple=True)
    score = scores[anchor, label]
    if config.level_top_k is not None:
        leading = _best_of_levels(score, anchor, levels, config.level_top_k)
        label, anchor, score = label[leading], anchor[leading], score[leading]
    # batched_nms moves each class to a place of its own: exact in float64, apart where no coordinate is negative
    apart = boxes.double() - boxes.amin()
    stays = batched_nms(apart[anchor], score.double(), label, threshold)[: config.max_detections]
    return Kept(anchor[stays], label[stays], score[stays])


def _best_of_levels(scores: Tensor, anchors: Tensor, levels: Sequence[int], count: int) -> Tensor:
    """Indices, ascending, of the `count` best candidates of each level among scores (m,) at anchors (m,)."""
    level = torch.bucketize(anchors, torch.tensor(list(accumulate(levels)), device=anchors.device), right=True)
    own = [(level == index).nonzero()[:, 0] for index in range(len(levels))]
    return torch.cat([each[best(scores[each][None], count)[1][0]] for each in own]).sort().values


def best(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values and indices (r, q) of the `count` largest of each row of (r, p) float32 scores; ties keep their order.

    Confident scores are often equal, and `topk` leaves their order open. A score's bits, ordered as the score is, followed by
    the index, make keys that differ; sorting everything instead takes ten times as long. The largest of a row lie in the
    groups whose own largest are largest, so that most of a long row is read once.
    """
    length = scores.shape[1]
    count = min(count, length)
    from_the_end = torch.arange(length, 0, -1, device=scores.device)
    keys = (scores.contiguous().view(torch.int32).to(torch.int64) << 32) | from_the_end
    if length > 2 * _GROUPS * count:
        missing = -length % _GROUPS
        groups = F.pad(keys, (0, missing), value=torch.iinfo(torch.int64).min).reshape(len(keys), _GROUPS, -1)
        leading = groups.amax(dim=1).topk(count, dim=1).indices
        keys = groups.gather(2, leading[:, None].expand(-1, _GROUPS, -1)).reshape(len(keys), -1)
    chosen = keys.topk(count, dim=1).values
    return (chosen >> 32).to(torch.int32).view(torch.float32), length - (chosen & _INDEX)


def _worst_overlap(boxes: Tensor) -> Tensor:
    """The largest IoU (r, q) of each of (r, q, 4) boxes with one before it in its row; 0 for the first."""
    # coordinate by coordinate, as vectors are read; else inductor decodes each box again for every pair
    corners = materialize(boxes.permute(2, 0, 1).contiguous()).permute(1, 2, 0)
    place = torch.arange(boxes.shape[1], device=boxes.device)
    return torch.where(place[:, None] < place, box_iou(corners, corners), 0.0).amax(dim=1)
