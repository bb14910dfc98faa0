import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from yolact.ops.resampling import FAR, NEAR, aligned_bilinear, matrix, sample_matrix, stretch_matrix, taps

sides = st.integers(1, 700)


@settings(max_examples=100, deadline=None)
@given(sides, sides)
def test_taps_are_those_of_interpolation(length, count):
    low, high, share = taps(length, count, fused=True)
    assert low.dtype == high.dtype == torch.int64 and share.dtype == torch.float32
    assert (low <= high).all() and (high <= length - 1).all() and (share >= 0).all() and (share <= 1).all()
    values = torch.rand(1, 1, length, generator=torch.Generator().manual_seed(length))
    expected = F.interpolate(values, size=count, mode="linear", align_corners=False)[0, 0]
    found = values[0, 0, low] * (1 - share) + values[0, 0, high] * share
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-7)


@settings(max_examples=100, deadline=None)
@given(sides, sides)
def test_one_rounding_more_moves_a_share_by_less_than_the_position_resolves(length, count):
    stepwise, fused = taps(length, count), taps(length, count, fused=True)
    positions = [each.low + each.share.double() for each in (stepwise, fused)]
    assert (positions[0] - positions[1]).abs().max() <= 2.0**-22 * length


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60))
def test_the_matrix_is_the_taps(length, count):
    values = torch.rand(3, length, generator=torch.Generator().manual_seed(count))
    low, high, share = taps(length, count)
    expected = values[:, low] * (1 - share) + values[:, high] * share
    torch.testing.assert_close(values @ matrix(length, count), expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 20))
def test_stretching_is_resizing_inside_the_span_and_zero_outside(start, span, samples):
    weights = stretch_matrix(torch.tensor([float(start)]), torch.tensor([float(start + span)]), 90, samples)[0]
    torch.testing.assert_close(weights[start : start + span], matrix(samples, span).t(), rtol=0, atol=1e-5)
    assert not weights[:start].any() and not weights[start + span :].any()


@pytest.mark.parametrize("length", [1, 2, 7, 64])
def test_doubling_has_two_weights(length):
    low, high, share = taps(length, 2 * length)
    pixel = torch.arange(length)
    dense = torch.zeros(2 * length, length).scatter_add_(1, torch.stack([low, high], 1), torch.stack([1 - share, share], 1))
    expected = torch.zeros(2 * length, length)
    for odd, other in ((0, (pixel - 1).clamp(min=0)), (1, (pixel + 1).clamp(max=length - 1))):
        expected[odd::2].index_put_((pixel, pixel), torch.tensor(NEAR), accumulate=True)
        expected[odd::2].index_put_((pixel, other), torch.tensor(FAR), accumulate=True)
    assert torch.equal(dense, expected)


def test_aligned_bilinear_by_hand():
    """Fact sheet on CondInst, 36."""
    two = aligned_bilinear(torch.tensor([[[[0.0, 1], [2, 3]]]]), 2)
    assert two[0, 0].tolist() == [[0, 0, 0.5, 1], [0, 0, 0.5, 1], [1, 1, 1.5, 2], [2, 2, 2.5, 3]]
    four = aligned_bilinear(torch.tensor([[[[0.0, 1]]]]), 4)
    assert four[0, 0].tolist() == [[0, 0, 0, 0.25, 0.5, 0.75, 1, 1]] * 4


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 8])
def test_aligned_bilinear_keeps_cells_and_constants(factor):
    maps = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(factor), dtype=torch.float64)
    made = aligned_bilinear(maps, factor)
    assert made.shape == (2, 3, 5 * factor, 7 * factor)
    torch.testing.assert_close(made[..., factor // 2 :: factor, factor // 2 :: factor], maps)
    constant = torch.full_like(maps, 0.375)
    torch.testing.assert_close(aligned_bilinear(constant, factor), constant[..., :1, :1].expand_as(made))
    if factor == 1:
        assert torch.equal(made, maps)


@settings(max_examples=20, deadline=None)
@given(st.floats(-20, 30), st.floats(0.5, 60), st.sampled_from([1, 4, 56]))
def test_sampling_is_torchs_grid_sample_with_zeros_outside(start, span, samples):
    """Fact sheet on BlendMask, 19."""
    values = torch.rand(1, 1, 1, samples, generator=torch.Generator().manual_seed(samples)).double()
    bounds = (torch.tensor([each], dtype=torch.float64) for each in (start, start + span))
    x = (torch.arange(40).double() + 0.5 - start) / span * 2 - 1
    grid = torch.stack([x, torch.zeros(40).double()], 1)[None, None]
    expected = F.grid_sample(values, grid, mode="bilinear", padding_mode="zeros", align_corners=False)[0, 0, 0]
    torch.testing.assert_close(sample_matrix(*bounds, 40, samples)[0] @ values[0, 0, 0], expected)
