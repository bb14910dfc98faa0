"""Regions of interest. Numbers in comments are those of the fact sheets on CenterMask (C) and RetinaMask (R)."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models.detection.roi_heads import project_masks_on_boxes
from torchvision.ops import MultiScaleRoIAlign

from tests.reference import slow_regions
from yolact.ops.regions import area_share, level_by_area, level_by_ratio, masks_in_regions, pool_regions


def squares(*sides):
    return torch.tensor([[3.0, 5, 3 + side, 5 + side] for side in sides])


def test_levels_by_share_of_the_image():  # C33
    assert level_by_ratio(squares(128, 91, 90, 65, 64, 10, 0), 5, 128).tolist() == [5, 5, 4, 4, 3, 3, 3]
    assert level_by_ratio(squares(256, 128), 5, 128).tolist() == [5, 5]  # larger than the image


def test_levels_by_area():  # R33
    assert level_by_area(squares(112, 224, 448, 20, 1000, 0), 5, 224, 4).tolist() == [3, 4, 5, 3, 5, 3]
    assert level_by_area(squares(224, 448), 6, 224, 5).tolist() == [5, 6]


def test_levels_of_what_is_no_number():
    boxes = torch.tensor([[torch.nan] * 4, [0, 0, torch.inf, torch.inf], [5, 5, 2, 2]])
    for level in (level_by_ratio(boxes, 5, 128), level_by_area(boxes, 5, 224, 4)):
        assert ((level >= 3) & (level <= 5)).all()


def test_roi_align_on_a_ramp():  # C35
    ramp = (torch.arange(16) + 0.5).expand(1, 1, 16, 16)
    first = torch.zeros(1, dtype=torch.int64)
    for aligned, expected in ((True, [5, 7, 9, 11]), (False, [5.5, 7.5, 9.5, 11.5])):
        for samples in (0, 2):
            made = pool_regions([ramp], first + 3, first, torch.tensor([[32.0, 32, 96, 96]]), 4, samples, aligned)
            assert made[0, 0, 0].tolist() == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0, 1, 2]), st.booleans())
def test_pooling_as_the_slow_path(seed, samples, aligned):
    """Also regions that stick out of the image, and of no area."""
    generator = torch.Generator().manual_seed(seed)
    levels = [torch.randn(2, 2, side, side, generator=generator) for side in (8, 4, 2)]
    corner = torch.rand(5, 2, generator=generator) * 80 - 16
    boxes = torch.cat([corner, corner + torch.rand(5, 2, generator=generator) * 50], 1)
    boxes[0, 2:] = boxes[0, :2]
    level, image = torch.randint(3, 6, (5,), generator=generator), torch.tensor([0, 1, 1, 0, 1])
    made = pool_regions(levels, level, image, boxes, 3, samples, aligned)
    for i in range(5):
        features = levels[int(level[i]) - 3][image[i]].double().numpy()
        expected = slow_regions.roi_align(features, boxes[i].tolist(), 3, 0.5 ** int(level[i]), samples, aligned)
        np.testing.assert_allclose(made[i], expected, rtol=1e-4, atol=1e-5)


def test_pooling_by_area_is_torchvisions():
    """Mask R-CNN's pooling: two samples, not aligned, 224 pixels from P4."""
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 3, 512 >> level, 512 >> level, generator=generator) for level in (3, 4, 5)]
    corner = torch.rand(8, 2, generator=generator) * 60
    boxes = torch.cat([corner, corner + torch.tensor([[30.0], [220], [230], [440], [450], [50], [300], [100]])], 1)
    theirs = MultiScaleRoIAlign(["P3", "P4", "P5"], 14, 2)
    expected = theirs(dict(zip(theirs.featmap_names, levels, strict=True)), [boxes[:3], boxes[3:]], [(512, 512)] * 2)
    level = level_by_area(boxes, 5, 224, 4)
    assert level.unique().tolist() == [3, 4, 5]
    image = torch.tensor([0] * 3 + [1] * 5)
    torch.testing.assert_close(pool_regions(levels, level, image, boxes, 14, 2, False), expected)


def test_no_regions():
    nothing = torch.zeros(0, dtype=torch.int64)
    levels = [torch.rand(1, 2, 8, 8, requires_grad=True), torch.rand(1, 2, 4, 4)]
    pooled = pool_regions(levels, nothing, nothing, torch.zeros(0, 4), 14, 0, True)
    assert pooled.shape == (0, 2, 14, 14) and pooled.requires_grad
    masks = torch.ones(1, 9, 9, dtype=torch.uint8)
    assert masks_in_regions(masks, nothing, torch.zeros(0, 4), 28).shape == (0, 28, 28)
    assert area_share(masks[:0], nothing, torch.zeros(0, 4)).shape == (0,)


def test_masks_in_regions():
    masks = torch.zeros(2, 16, 16, dtype=torch.uint8)
    masks[1, 4:12, 6:10] = 1
    boxes = torch.tensor([[4.0, 4, 12, 12], [8, 0, 16, 16]])
    made = masks_in_regions(masks, torch.tensor([1, 1]), boxes, 8)
    assert made[0].tolist() == [[0, 0, 1, 1, 1, 1, 0, 0]] * 8
    assert made[1, 2:6, :2].min() == 1 and made[1].sum() == 4 * 2
    soft = project_masks_on_boxes(masks[1:], boxes[:1], torch.tensor([0]), 8)[0]  # torchvision's: fractions, half a pixel off
    assert soft[3, 5] == 0.5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_share_of_the_area_as_the_slow_path(seed):
    generator = torch.Generator().manual_seed(seed)
    masks = (torch.rand(2, 9, 7, generator=generator) > 0.5).to(torch.uint8)
    masks[:, 4, 3] = 1
    corner = torch.rand(6, 2, generator=generator) * 12 - 3
    boxes = torch.cat([corner, corner + torch.rand(6, 2, generator=generator) * 9], 1)
    objects = torch.tensor([0, 1, 1, 0, 1, 0])
    made, rough = area_share(masks, objects, boxes), area_share(masks, objects, boxes, whole_pixels=True)
    for i in range(6):
        mask = masks[objects[i]].numpy()
        assert made[i].item() == pytest.approx(slow_regions.covered(mask, boxes[i].tolist()) / mask.sum(), abs=1e-6)
        x1, y1, x2, y2 = (int(value) for value in boxes[i])
        whole = (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1))
        assert rough[i].item() == pytest.approx(slow_regions.covered(mask, whole) / mask.sum(), abs=1e-6)


def test_share_is_exact_at_whole_pixels():
    masks = torch.zeros(2, 60, 60, dtype=torch.uint8)
    masks[0, 7:47, 3:36] = 1
    boxes = torch.tensor([[3.0, 7, 36, 47], [-5, -5, 70, 70], [3, 7, 14, 47], [40, 0, 60, 60]])
    assert area_share(masks, torch.tensor([0] * 4), boxes).tolist() == pytest.approx([1, 1, 1 / 3, 0])
    assert area_share(masks, torch.tensor([0]), boxes[:1]).item() == 1
    assert area_share(masks, torch.tensor([1]), boxes[:1]).item() == 0  # an empty mask
