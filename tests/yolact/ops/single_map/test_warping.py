"""RoI warping. Numbers in comments are those of the fact sheet on MNC."""

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from tests.reference import slow_fcis
from yolact.ops.single_map.warping import warp

BOXES = torch.tensor([[20.0, 30, 90, 110], [33, 41, 60, 52]])


def ramp(side=8, stride=16):
    """(1, side, side): the value of a pixel is its x."""
    return ((torch.arange(side) + 0.5) * stride).expand(1, side, side)


def test_a_constant_map_gives_the_constant_also_beyond_the_image():  # 43
    beyond = torch.cat([BOXES, torch.tensor([[-30.0, 100, 10, 190]])])
    torch.testing.assert_close(warp(torch.full((3, 8, 8), 2.5), beyond, 14, 16), torch.full((3, 3, 14, 14), 2.5))


def test_of_the_map_x_it_is_linear_with_the_box():  # 43
    warped = warp(ramp(), BOXES, 4, 16)[:, 0]
    for box, rows in zip(BOXES, warped, strict=True):
        expected = box[0] + (torch.arange(4) + 0.5) / 4 * (box[2] - box[0])
        torch.testing.assert_close(rows, expected.expand(4, 4))


def test_the_mean_of_x_moves_half_as_far_as_either_side_of_the_box():  # 43
    boxes = BOXES.clone().requires_grad_()
    warp(ramp(), boxes, 14, 16).mean(dim=(1, 2, 3)).sum().backward()
    np.testing.assert_allclose(boxes.grad, [[0.5, 0, 0.5, 0]] * 2, atol=1e-5)


def test_gradients_of_features_and_boxes_are_the_numeric_ones():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 5, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[3.3, 5.1, 41.7, 60.2]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, b: warp(f, b, 3, 16), (features, boxes), eps=1e-7, atol=1e-5)


def test_plain_loops_in_float64_give_the_same():
    features = torch.randn(2, 8, 10, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[5.0, 6, 150, 120], [100, -10, 170, 30], [40, 40, 41, 42]])
    expected = [[slow_fcis.warp(grid, box, 6, 16) for grid in features.tolist()] for box in boxes.tolist()]
    np.testing.assert_allclose(warp(features, boxes, 6, 16), expected, atol=2e-5)


def test_it_is_roialign_with_one_sample_for_each_bin():
    features = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(1))
    expected = roi_align(features[None], [BOXES], 14, 1 / 16, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(warp(features, BOXES, 14, 16), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("count", [0, 1])
def test_any_number_of_boxes(count):
    assert warp(torch.zeros(3, 8, 8), BOXES[:count], 4, 16).shape == (count, 3, 4, 4)
