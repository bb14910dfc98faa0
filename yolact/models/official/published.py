"""The weights that YOLACT's authors published, and where they lie.

Sources: the README of dbolya/yolact, whose links lead to Hugging Face since September 2025 (issues 847, 848 and 852 there), and
its section on Pascal SBD. No sizes or hashes stand here, for none could be checked; the first download records them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from yolact.config.base import nearest
from yolact.errors import UserError

HUGGING_FACE = "https://huggingface.co"
"""The environment variable HF_ENDPOINT names a mirror in its place, as it does for Hugging Face's own tools."""


@dataclass(frozen=True)
class Published:
    """One file of weights, or the reason why there is none."""

    name: str
    preset: str
    """The preset that it belongs to."""
    what: str
    repository: str | None = None
    """`owner/name` on Hugging Face; None where the file can't be fetched by a program."""
    file: str = ""
    absent: str = ""
    """Why it can't be fetched, and what to do."""

    @property
    def url(self) -> str:
        """Where the file is fetched from.

        Raises:
            UserError: it can't be fetched; the message says why.
        """
        if self.repository is None:
            raise UserError(f"{self.name}: {self.absent}")
        return f"{(os.environ.get('HF_ENDPOINT') or HUGGING_FACE).rstrip('/')}/{self.repository}/resolve/main/{self.file}"


_PASCAL_LINK = "https://drive.google.com/open?id=1yLVwtkRtNxyl0kxeMCtPXJsXFFyc_FHe"


def _coco(name: str, what: str, preset: str) -> Published:
    repository = f"dbolya/{name.replace('_', '-')}"
    return Published(name, preset, f"{what}, COCO train2017", repository, f"{name}_54_800000.pth")


PUBLISHED: dict[str, Published] = {
    weights.name: weights
    for weights in (
        _coco("yolact_base", "YOLACT-550, ResNet-101", "yolact_base"),
        _coco("yolact_im700", "YOLACT-700, ResNet-101", "yolact_im700"),
        _coco("yolact_resnet50", "YOLACT-550, ResNet-50", "yolact_resnet50"),
        _coco("yolact_darknet53", "YOLACT-550, DarkNet-53", "yolact_darknet53"),
        Published(
            "yolact_im400",
            "yolact_im400",
            "YOLACT-400, ResNet-101",
            absent="these weights were never published; train the preset yolact_im400",
        ),
        Published(
            "yolact_resnet50_pascal",
            "yolact_resnet50_pascal",
            "YOLACT-550, ResNet-50, Pascal 2012 SBD",
            absent=f"published behind a Google Drive link only ({_PASCAL_LINK}); fetch the file with a browser, then "
            "`yolact weights convert FILE --preset yolact_resnet50_pascal --out OUT` takes it",
        ),
        _coco("yolact_plus_base", "YOLACT++, ResNet-101", "yolact_plus_base"),
        _coco("yolact_plus_resnet50", "YOLACT++, ResNet-50", "yolact_plus_resnet50"),
        Published(
            "darknet53_imagenet",
            "yolact_darknet53",
            "DarkNet-53 backbone alone, ImageNet: for model.backbone.weights",
            "dbolya/yolact-initial-weights",
            "darknet53.pth",
        ),
    )
}


def published(name: str) -> Published:
    """The published weights of that name.

    Raises:
        UserError: there are none; the message names the nearest.
    """
    if name not in PUBLISHED:
        raise UserError(f"unknown weights {name!r}{nearest(name, list(PUBLISHED))}; `yolact weights list` shows all")
    return PUBLISHED[name]
