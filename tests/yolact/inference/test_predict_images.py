"""What of a network's detections is drawn and written by `yolact predict`."""

import torch

from yolact.inference.predict_images import above
from yolact.structures import Detections


def test_detections_below_the_threshold_or_without_a_box_are_left_out():
    nan = float("nan")
    found = Detections(
        boxes=torch.tensor([[1.0, 2, 3, 4], [1, 2, nan, nan], [5, 6, 7, 8]]),
        scores=torch.tensor([0.9, 0.8, 0.2]),
        labels=torch.tensor([4, 5, 6]),
        masks=torch.ones(3, 9, 9, dtype=torch.bool),
    )
    kept = above(found, 0.3)
    assert (kept.labels.tolist(), kept.boxes.tolist(), kept.masks.shape) == ([4], [[1, 2, 3, 4]], (1, 9, 9))
