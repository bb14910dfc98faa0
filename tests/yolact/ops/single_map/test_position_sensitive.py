"""Position-sensitive RoIAlign. Numbers in comments are those of the fact sheet on FCIS."""

import numpy as np
import pytest
import torch
from torchvision.ops import ps_roi_align, roi_align

from tests.reference import slow_fcis
from yolact.ops.single_map.position_sensitive import position_sensitive_align

INSIDE = torch.tensor([[16.0, 24, 200, 170], [40, 40, 90, 210], [100, 8, 131, 39]])


def maps(outputs, group, side=16, seed=0):
    return torch.randn(outputs * group**2, side, side, generator=torch.Generator().manual_seed(seed))


def test_each_part_reads_its_own_map():  # 26
    constant = torch.arange(49.0)[:, None, None].expand(49, 16, 16)
    pooled = position_sensitive_align(constant, INSIDE, 7, 21, 16)
    assert pooled.shape == (3, 1, 21, 21)
    expected = np.kron(np.arange(49).reshape(7, 7), np.ones((3, 3)))
    for region in pooled[:, 0]:
        np.testing.assert_allclose(region, expected, atol=1e-5)


def test_equal_groups_are_plain_roialign():  # 26
    plain = maps(5, 1)
    repeated = plain[:, None].expand(-1, 49, -1, -1).flatten(0, 1)
    expected = roi_align(plain[None], [INSIDE], 21, 1 / 16, sampling_ratio=1, aligned=True)
    torch.testing.assert_close(position_sensitive_align(repeated, INSIDE, 7, 21, 16), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("group", "bins"), [(7, 21), (3, 9), (2, 2), (1, 9)])
def test_torchvisions_operator_on_repeated_maps_gives_the_same(group, bins):  # 22, 26
    side = bins // group
    given = maps(4, group)
    repeated = given.reshape(4, group, 1, group, 1, 16, 16).expand(-1, -1, side, -1, side, -1, -1).reshape(4 * bins**2, 16, 16)
    outside_too = torch.cat([INSIDE, torch.tensor([[200.0, -20, 260, 300], [-8, 250, 30, 262]])])
    expected = ps_roi_align(repeated[None], [outside_too], bins, 1 / 16, sampling_ratio=1)
    torch.testing.assert_close(position_sensitive_align(given, outside_too, group, bins, 16), expected, atol=1e-5, rtol=1e-5)


def test_plain_loops_in_float64_give_the_same():
    given = maps(2, 3, side=8)
    regions = torch.tensor([[3.0, 10, 77, 100], [50, 0, 128, 21], [60, 60, 61, 61]])
    pooled = position_sensitive_align(given, regions, 3, 9, 16)
    expected = [slow_fcis.position_sensitive(given.tolist(), region, 3, 9, 16) for region in regions.tolist()]
    np.testing.assert_allclose(pooled, expected, atol=2e-5)


def test_a_shift_of_image_and_region_by_one_cell_changes_nothing():  # 26
    given = maps(3, 3)
    shifted = torch.roll(given, (1, 1), dims=(1, 2))
    region = torch.tensor([[30.0, 41, 150, 171]])
    expected = position_sensitive_align(given, region, 3, 9, 16)
    torch.testing.assert_close(position_sensitive_align(shifted, region + 16, 3, 9, 16), expected, atol=1e-5, rtol=1e-5)


def test_no_regions_give_nothing():
    assert position_sensitive_align(maps(3, 3), torch.zeros(0, 4), 3, 9, 16).shape == (0, 3, 9, 9)
