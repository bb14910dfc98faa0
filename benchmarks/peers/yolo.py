"""YOLO segmenters of ultralytics (AGPL-3.0), which is no dependency: `benchmarks/peers/peers.sh` installs it separately."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import Any

# before the import: it must neither write settings into the home folder, nor ask a network, nor install anything
os.environ.update(YOLO_CONFIG_DIR=tempfile.mkdtemp(prefix="peers-"), YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")

import numpy as np
import torch
import ultralytics
from torch import Tensor
from ultralytics.models.yolo.segment import SegmentationPredictor
from ultralytics.nn.tasks import SegmentationModel

from benchmarks.common.calibration import decide, settle
from benchmarks.common.networks import IMAGE, TINY_IMAGE, noise
from benchmarks.peers.peer import DETECTIONS, Peer, millions

PUBLISHED = {"yolov8s-seg": 36.8, "yolo26n-seg": 33.9, "yolo26s-seg": 40.0}
"""{network: mask AP on COCO val2017 by the package's documentation}."""


class _Predictor(SegmentationPredictor):
    """Notes the scores of the detections whose masks are made: those without a pixel are dropped afterwards."""

    scores = torch.zeros(0)

    def construct_result(self, pred: Tensor, *args: Any) -> Any:
        self.scores = pred[:, 4].clone()
        return super().construct_result(pred, *args)


def segmenters(device: str, tiny: bool) -> Iterator[Peer]:
    """Each network at its default input, with masks at the image's own size (`retina_masks`)."""
    threads = torch.get_num_threads()
    side = 64 if tiny else 640
    image = noise(1, TINY_IMAGE if tiny else IMAGE)[0]
    pixels = np.ascontiguousarray(image.permute(1, 2, 0).numpy()[:, :, ::-1])  # BGR, which the package takes
    batch = torch.nn.functional.interpolate(image[None] / 255, size=(side, side))
    for name, published in list(PUBLISHED.items())[: 1 if tiny else None]:
        torch.manual_seed(0)
        model = SegmentationModel(f"{name}.yaml", nc=80, verbose=False)
        settle(model, lambda model=model: model(batch))
        decide(_classifiers(model), lambda model=model: model(batch))
        settings = {"imgsz": side, "max_det": DETECTIONS, "retina_masks": True, "device": device, "rect": False}
        predictor = _Predictor(overrides={**settings, "verbose": False, "save": False})
        predictor.setup_model(model, verbose=False)

        def run(threshold: float, predictor: Any = predictor) -> Tensor:
            predictor.args.conf = threshold
            predictor(pixels)
            return predictor.scores

        yield Peer(name, f"ultralytics {ultralytics.__version__}", f"{side} x {side}", millions(model), published, run)
    torch.set_num_threads(threads)


def _classifiers(model: Any) -> list[torch.nn.Module]:
    """The last layer of every branch that gives class logits."""
    head = model.model[-1]
    branches = [getattr(head, name) for name in ("cv3", "one2one_cv3") if getattr(head, name, None) is not None]
    return [level[-1] for branch in branches for level in branch]
