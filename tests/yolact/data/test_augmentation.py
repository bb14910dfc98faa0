"""The laws of SSD's augmentations, and the promise that a sample depends on its seed alone."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from torchvision import tv_tensors

from yolact.config import AugmentationConfig
from yolact.config.model.parts import IMAGENET_MEAN
from yolact.data import augmentation as augment
from yolact.data.augmentation import Photometric, SampleCrop, shift_hsv, training_sample
from yolact.data.coco import Instances
from yolact.data.patches import Patches

OFF = AugmentationConfig(photometric=False, expand=False, crop=False, mirror=False)
FULL = AugmentationConfig()


def picture(height=40, width=60, seed=0):
    return torch.randint(0, 256, (3, height, width), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def rectangles(*corners, height=40, width=60, crowd=()):
    """Instances whose masks fill their boxes."""
    masks = torch.zeros(len(corners), height, width, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, corners, strict=True):
        mask[y1:y2, x1:x2] = 1
    flags = torch.tensor([index in crowd for index in range(len(corners))], dtype=torch.bool)
    boxes = torch.tensor(corners, dtype=torch.float32).reshape(-1, 4)
    return Instances(boxes, torch.arange(len(corners)), Patches.of(masks), flags)


TWO = rectangles((5, 5, 25, 30), (30, 10, 55, 38))


def sample(augmentation, seed=0, image=None, instances=TWO, size=32):
    return training_sample(picture() if image is None else image, instances, augmentation, size, seed, 7)


def test_without_augmentation_the_image_is_squashed():
    image, target = sample(None)
    expected = functional.interpolate(picture().float()[None], (32, 32), mode="bilinear", align_corners=False)[0]
    assert torch.equal(image, expected)
    assert torch.allclose(target.boxes, TWO.boxes * torch.tensor([32 / 60, 32 / 40] * 2))
    assert torch.equal(sample(OFF)[0], image)


def test_masks_are_resized_as_numbers_and_cut_at_one_half():
    speckled = picture(seed=9)[:2] // 128
    _, target = sample(None, instances=Instances(TWO.boxes, TWO.labels, Patches.of(speckled), TWO.crowd))
    expected = functional.interpolate(speckled.float()[None], (32, 32), mode="bilinear", align_corners=False)[0] >= 0.5
    assert target.masks.dtype == torch.uint8
    assert torch.equal(target.masks.bool(), expected)


def test_types_shapes_and_identity():
    image, target = sample(FULL, seed=5)
    for tensor in (image, target.boxes, target.masks, target.labels, target.crowd):
        assert type(tensor) is torch.Tensor
    assert (image.dtype, image.shape) == (torch.float32, (3, 32, 32))
    n = len(target.labels)
    assert (target.boxes.shape, target.masks.shape, target.crowd.shape) == ((n, 4), (n, 32, 32), (n,))
    assert (target.image_id, target.seed) == (7, 5)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**62), st.booleans())
def test_what_holds_for_every_sample(seed, checks_iou):
    before = torch.get_rng_state()
    image, target = sample(AugmentationConfig(crop_checks_iou=checks_iou), seed)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(sample(AugmentationConfig(crop_checks_iou=checks_iou), seed)[0], image)
    assert torch.isfinite(image).all()
    assert len(target.labels) >= 1
    assert (target.boxes >= 0).all() and (target.boxes <= 32).all()
    assert (target.boxes[:, 2:] > target.boxes[:, :2]).all()
    for box, mask in zip(target.boxes, target.masks, strict=True):  # masks fill their boxes, so the two must agree
        ys, xs = torch.nonzero(mask, as_tuple=True)
        if len(xs):
            edges = torch.tensor([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
            assert (edges - box).abs().max() <= 1


def test_seeds_differ():
    assert not torch.equal(sample(FULL, 1)[0], sample(FULL, 2)[0])


def shares(config, count=400, **changes):
    return [sample(config, seed, **changes) for seed in range(count)]


def test_mirror_flips_half_of_the_images_with_their_boxes_and_masks():
    plain, boxes = sample(OFF)[0], sample(OFF)[1].boxes
    flipped = 0
    for image, target in shares(OFF.replace(mirror=True), 200):
        if torch.equal(image, plain):
            continue
        flipped += 1
        assert torch.equal(image, plain.flip(2))
        assert torch.allclose(target.boxes, torch.stack([32 - boxes[:, 2], boxes[:, 1], 32 - boxes[:, 0], boxes[:, 3]], 1))
    assert 70 < flipped < 130


def test_expansion_puts_half_of_the_images_on_a_mean_coloured_canvas():
    black = torch.zeros(3, 40, 60, dtype=torch.uint8)
    ratios = []
    for image, target in shares(OFF.replace(expand=True), 200, image=black):
        if image.max() == 0:
            continue
        assert torch.allclose(image.amax((1, 2)), torch.tensor(IMAGENET_MEAN), atol=1e-3)
        ratios.append(float((TWO.boxes[0, 2] - TWO.boxes[0, 0]) / 60 * 32 / (target.boxes[0, 2] - target.boxes[0, 0])))
    assert 70 < len(ratios) < 130
    assert 1 <= min(ratios) < 1.3 and 3.7 < max(ratios) <= 4.0
    assert 2.2 < np.mean(ratios) < 2.8


def windows(crop, instances, count=300):
    torch.manual_seed(0)
    return [crop._window(instances.boxes, instances.crowd, 40, 60) for _ in range(count)]


def test_crop_windows_follow_the_law():
    found = windows(SampleCrop(check_iou=False), TWO)
    assert 20 < found.count(None) < 85  # one in six
    sides = [(window[2] - window[0], window[3] - window[1]) for window in found if window]
    assert min(width for width, _ in sides) < 0.4 * 60 and min(height for _, height in sides) < 0.4 * 40
    assert max(width for width, _ in sides) > 0.9 * 60 and max(height for _, height in sides) > 0.9 * 40
    for left, top, right, bottom in filter(None, found):
        width, height = right - left, bottom - top
        assert 0 <= left < right <= 60 and 0 <= top < bottom <= 40
        assert width >= 0.3 * 60 - 1 and height >= 0.3 * 40 - 1
        assert 0.5 - 0.1 <= height / width <= 2 + 0.1  # sides are cut to whole pixels after the test
        centres = (TWO.boxes[:, :2] + TWO.boxes[:, 2:]) / 2
        assert any(left < x < right and top < y < bottom for x, y in centres.tolist())


def test_crop_keeps_instances_by_their_centre_and_clips_them(monkeypatch):
    monkeypatch.setattr(SampleCrop, "_window", lambda *_: (10, 8, 34, 32))
    image, target = sample(OFF.replace(crop=True), size=24)
    assert torch.equal(image, picture()[:, 8:32, 10:34].float())
    assert target.boxes.tolist() == [[0, 0, 15, 22]] and target.labels.tolist() == [0]
    assert torch.equal(target.masks, TWO.masks[:1, 8:32, 10:34])


@pytest.mark.parametrize("instances", [rectangles(), rectangles((5, 5, 25, 30), crowd=(0,))], ids=["nothing", "a crowd"])
def test_nothing_to_keep_means_no_crop(instances):
    assert set(windows(SampleCrop(check_iou=True), instances, 50)) == {None}
    image, target = sample(FULL, instances=instances)
    assert image.shape == (3, 32, 32) and len(target.labels) == len(instances)


def test_a_crowd_alone_does_not_hold_a_window():
    instances = rectangles((0, 0, 20, 40), (40, 10, 55, 38), crowd=(0,))
    for window in filter(None, windows(SampleCrop(check_iou=False), instances)):
        assert window[0] < 47.5 < window[2] and window[1] < 24 < window[3]


def test_the_iou_test_is_inert_unless_asked_for(monkeypatch):
    monkeypatch.setattr(augment, "CROP_MODES", (0.3,))
    box = torch.tensor([[5.0, 5, 25, 30]])

    def smallest(check):
        return min(augment._smallest_iou(box, window) for window in windows(SampleCrop(check), rectangles((5, 5, 25, 30))))

    assert smallest(check=True) >= 0.3 > smallest(check=False)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
    st.floats(0.5, 1.5),
    st.floats(-18, 18),
)
def test_hsv_agrees_with_colorsys(rgb, saturation, hue):
    h, s, v = colorsys.rgb_to_hsv(*(channel / 255 for channel in rgb))
    found = shift_hsv(torch.tensor(rgb, dtype=torch.float32).view(3, 1, 1), saturation, hue).flatten() / 255
    chroma = v * s * saturation  # colorsys clips nothing either, but wraps the hue only below 1
    expected = [v - chroma * max(0, min(k, 4 - k, 1)) for k in ((n + 6 * h + hue / 60) % 6 for n in (5, 3, 1))]
    assert found.tolist() == pytest.approx(expected, abs=2e-4)
    if saturation == 1:
        assert found.tolist() == pytest.approx(colorsys.hsv_to_rgb((h + hue / 360) % 1, s, v), abs=2e-4)


def test_photometric_ranges_and_chances():
    torch.manual_seed(0)
    drawn = [Photometric().make_params([]) for _ in range(2000)]
    laws = [("brightness", 0, -32, 32), ("contrast", 1, 0.5, 1.5), ("saturation", 1, 0.5, 1.5), ("hue", 0, -18, 18)]
    for name, idle, low, high in laws:
        active = [params[name] for params in drawn if params[name] != idle]
        assert 0.45 < len(active) / len(drawn) < 0.55
        assert low <= min(active) and max(active) <= high
        assert np.mean(active) == pytest.approx((low + high) / 2, abs=(high - low) / 40)


def test_photometric_order_and_no_clipping():
    grey = tv_tensors.Image(torch.tensor([250.0, 250, 250]).view(3, 1, 1))
    params = {"brightness": 32.0, "contrast": 1.5, "saturation": 1.2, "hue": 9.0}
    assert Photometric().transform(grey, params).flatten().tolist() == pytest.approx([423, 423, 423])
    coloured = tv_tensors.Image(torch.tensor([200.0, 100, 50]).view(3, 1, 1))
    found = Photometric().transform(coloured, {**params, "hue": 0.0})
    value = (200 + 32) * 1.5  # brightness comes first
    assert found.flatten().tolist() == pytest.approx([value, value - 100 * 1.5 * 1.2, value - 150 * 1.5 * 1.2])


@given(st.floats(0.5, 1.5), st.floats(0.5, 1.5), st.floats(-18, 18))
def test_contrast_commutes_with_saturation_and_hue(contrast, saturation, hue):
    image = picture(4, 5).double()
    assert torch.allclose(shift_hsv(image * contrast, saturation, hue), shift_hsv(image, saturation, hue) * contrast)


def test_degenerate_boxes_are_dropped():
    instances = rectangles((5, 5, 25, 30), (30, 10, 30, 20))
    _, target = sample(None, instances=instances)
    assert target.labels.tolist() == [0]
    _, target = sample(None, instances=rectangles((30, 10, 30, 20)))
    assert len(target.labels) == 0 and target.masks.shape == (0, 32, 32)


def test_tiny_images():
    instances = rectangles((0, 0, 1, 1), height=1, width=2)
    for seed in range(40):
        image, _ = training_sample(picture(1, 2), instances, FULL, 8, seed, 1)
        assert image.shape == (3, 8, 8)
