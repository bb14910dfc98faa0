"""SSD's augmentations as the official code applies them, on torchvision's `transforms.v2`, and the squash to a square.

Order: photometric, expand, crop, mirror, resize. The image is float32 RGB in 0..255, never clipped, so values may leave
that range. torchvision's own transforms serve where their law is the official one (expand is `RandomZoomOut`, mirror
`RandomHorizontalFlip`); `RandomPhotometricDistort` and `RandomIoUCrop` have other laws.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from yolact.config import AugmentationConfig
from yolact.config.model.parts import IMAGENET_MEAN
from yolact.data.coco import Instances
from yolact.data.patches import Patches
from yolact.structures import Target

CROP_MODES = (None, 0.1, 0.3, 0.7, 0.9, 0.0)
"""Drawn with equal chance: no crop, or the smallest IoU between the window and any object."""
CROP_TRIES = 50


def uniform(low: float, high: float) -> float:
    """A number from U(low, high) of torch's global generator."""
    return low + (high - low) * torch.rand(()).item()


def coin() -> bool:
    """True half of the time."""
    return torch.rand(()).item() < 0.5


class Photometric(v2.Transform):
    """Brightness, contrast, saturation and hue (in degrees), each with probability one half.

    The official code draws whether contrast comes before or after saturation and hue. Nothing is clipped and both commute
    with it, so the two orders are one.
    """

    _transformed_types = (tv_tensors.Image,)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {
            "brightness": uniform(-32, 32) if coin() else 0.0,
            "contrast": uniform(0.5, 1.5) if coin() else 1.0,
            "saturation": uniform(0.5, 1.5) if coin() else 1.0,
            "hue": uniform(-18, 18) if coin() else 0.0,
        }

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        image = inpt.as_subclass(Tensor)
        if params["brightness"]:
            image = image + params["brightness"]
        if params["contrast"] != 1:
            image = image * params["contrast"]
        return tv_tensors.wrap(shift_hsv(image, params["saturation"], params["hue"]), like=inpt)


def shift_hsv(image: Tensor, saturation: float, hue: float) -> Tensor:
    """Multiply the saturation and turn the hue by degrees, at constant value (the largest channel).

    Args:
        image: (3, H, W) float RGB of any range. In HSV a channel is value − chroma · f(hue), so no conversion back is needed.
    """
    if saturation == 1 and hue == 0:
        return image
    value = image.amax(0)
    if hue == 0:
        return value - (value - image) * saturation
    chroma = value - image.amin(0)
    red, green, blue = image
    divisor = chroma.clamp(min=torch.finfo(image.dtype).eps)
    sector = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, (blue - red) / divisor + 2, (red - green) / divisor + 4),
    )
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=image.dtype).view(3, 1, 1) + hue / 60
    position = (sector + offsets).remainder_(6)
    share = torch.minimum(position, 4 - position).clamp_(0, 1)
    return value - chroma * saturation * share


class Expand(v2.RandomZoomOut):
    """Place the image on a mean-coloured canvas up to `max_expand` times as large, with probability one half."""

    _transformed_types = (tv_tensors.Image, tv_tensors.BoundingBoxes, Patches)

    def __init__(self, max_expand: float) -> None:
        super().__init__(fill={tv_tensors.Image: list(IMAGENET_MEAN)}, side_range=(1.0, max_expand), p=0.5)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.padded(*params["padding"]) if isinstance(inpt, Patches) else super().transform(inpt, params)


class Mirror(v2.RandomHorizontalFlip):
    """Flip left to right with probability one half."""

    _transformed_types = (tv_tensors.Image, tv_tensors.BoundingBoxes, Patches)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt.mirrored() if isinstance(inpt, Patches) else super().transform(inpt, params)


class SampleCrop(v2.Transform):
    """Cut out a window that keeps the centre of at least one object that is no crowd.

    The window's sides are U(0.3, 1) of the image's, its aspect ratio within 1/2 .. 2. Instances whose centre it does not
    hold are dropped, the others clipped. Each of CROP_MODES gets CROP_TRIES tries, then another is drawn.

    Args:
        check_iou: reject windows whose smallest IoU with a box is below the mode's. The official code writes this test so
            that it can never fail; its author found that mending it halves the AP.
    """

    def __init__(self, check_iou: bool) -> None:
        super().__init__()
        self.check_iou = check_iou

    def forward(self, image: Tensor, instances: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        window = self._window(instances["boxes"].as_subclass(Tensor), instances["crowd"], *image.shape[-2:])
        if window is None:
            return image, instances
        left, top, right, bottom = window
        kept = _holds_centres(instances["boxes"].as_subclass(Tensor), window)
        boxes = instances["boxes"].as_subclass(Tensor)[kept] - torch.tensor([left, top, left, top])
        size = torch.tensor([right - left, bottom - top] * 2)
        cut = v2.functional.crop(image, top, left, bottom - top, right - left)
        return cut, {
            "boxes": tv_tensors.BoundingBoxes(
                torch.minimum(boxes.clamp(min=0), size), format="XYXY", canvas_size=(bottom - top, right - left)
            ),
            "masks": instances["masks"].kept(kept.tolist()).cut(top, left, bottom, right),
            "labels": instances["labels"][kept],
            "crowd": instances["crowd"][kept],
        }

    def _window(self, boxes: Tensor, crowd: Tensor, height: int, width: int) -> tuple[int, int, int, int] | None:
        if bool(crowd.all()):  # true as well where there is nothing
            return None
        while True:
            mode = CROP_MODES[int(torch.randint(len(CROP_MODES), ()))]
            if mode is None:
                return None
            for _ in range(CROP_TRIES):
                w, h = uniform(0.3, 1) * width, uniform(0.3, 1) * height
                if not 0.5 <= h / w <= 2:
                    continue
                left, top = uniform(0, width - w), uniform(0, height - h)
                window = int(left), int(top), int(left + w), int(top + h)
                if window[2] <= window[0] or window[3] <= window[1]:
                    continue
                if self.check_iou and _smallest_iou(boxes, window) < mode:
                    continue
                if bool((_holds_centres(boxes, window) & ~crowd).any()):
                    return window


class Squash(v2.Transform):
    """Resize to a square: bilinear without antialiasing. Masks are resized as numbers and cut at one half."""

    _transformed_types = (tv_tensors.Image, tv_tensors.BoundingBoxes, Patches)

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, Patches):
            return inpt.squashed(self.side)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return v2.functional.resize(inpt, [self.side, self.side])
        planes = inpt.as_subclass(Tensor)[None]
        return tv_tensors.Image(functional.interpolate(planes, (self.side, self.side), mode="bilinear", antialias=False)[0])


def build_augmentation(config: AugmentationConfig | None, image_size: int) -> v2.Compose:
    """The chain of transforms for a configuration; None resizes and does nothing else."""
    steps: list[v2.Transform] = []
    if config is not None and config.photometric:
        steps.append(Photometric())
    if config is not None and config.expand:
        steps.append(Expand(config.max_expand))
    if config is not None and config.crop:
        steps.append(SampleCrop(config.crop_checks_iou))
    if config is not None and config.mirror:
        steps.append(Mirror(p=0.5))
    return v2.Compose([*steps, Squash(image_size)])


def training_sample(
    image: Tensor, instances: Instances, augmentation: AugmentationConfig | None, image_size: int, seed: int, image_id: int
) -> tuple[Tensor, Target]:
    """One image and its ground truth as the network is shown them.

    The result depends on the arguments alone; torch's global generator is left as it was. A sample whose instances all
    vanish is kept, with an empty target: the losses are defined for it, and the official code's draw of another image
    would make one sample depend on the rest of the data set.

    Args:
        image: (3, H, W) uint8.
        augmentation: None for none.
        image_size: side S of the result.
        seed: drives every random choice, and is passed on in the target.

    Returns:
        image (3, S, S) float32, nominally in 0..255, and the target in the same frame.
    """
    height, width = image.shape[-2:]
    inputs = {
        "boxes": tv_tensors.BoundingBoxes(instances.boxes, format="XYXY", canvas_size=(height, width)),
        "masks": instances.patches,
        "labels": instances.labels,
        "crowd": instances.crowd,
    }
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        picture, kept = build_augmentation(augmentation, image_size)(tv_tensors.Image(image.float()), inputs)
    finally:
        torch.set_rng_state(before)
    boxes = kept["boxes"].as_subclass(Tensor)
    least = (augmentation or AugmentationConfig()).min_box_side
    sound = ((boxes[:, 2:] - boxes[:, :2]) > least).all(1)
    target = Target(
        boxes=boxes[sound],
        labels=kept["labels"][sound],
        masks=kept["masks"][sound],
        crowd=kept["crowd"][sound],
        image_id=image_id,
        seed=seed,
    )
    return picture.as_subclass(Tensor), target


def _holds_centres(boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """(n,) bool: whose centre lies strictly inside."""
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).unbind(1)
    return (x > window[0]) & (y > window[1]) & (x < window[2]) & (y < window[3])


def _smallest_iou(boxes: Tensor, window: tuple[int, int, int, int]) -> float:
    rect = torch.tensor(window, dtype=boxes.dtype)
    both = (torch.minimum(boxes[:, 2:], rect[2:]) - torch.maximum(boxes[:, :2], rect[:2])).clamp(min=0).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return float((both / (areas + (rect[2:] - rect[:2]).prod() - both).clamp(min=1e-9)).min())
