"""Winograd's convolution gives what the plain one gives, on maps of any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from yolact.inference.engines.passes import winograd
from yolact.inference.engines.passes.winograd import WinogradConv, takes_the_place_of


def _compare(conv: nn.Conv2d, maps: torch.Tensor) -> None:
    wanted = F.conv2d(maps.double(), conv.weight.double(), None if conv.bias is None else conv.bias.double(), padding=1)
    made = WinogradConv(conv)(maps.to(memory_format=torch.channels_last))
    assert made.shape == wanted.shape and made.dtype == torch.float32
    assert (made - wanted).abs().max() < 1e-4 * max(1.0, wanted.abs().max().item())


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(winograd.SMALLEST_SIDE, 61), st.integers(winograd.SMALLEST_SIDE, 61)),
    channels=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    images=st.integers(1, 2),
    bias=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_the_plain_convolution(size, channels, images, bias, seed):
    torch.manual_seed(seed)
    conv = nn.Conv2d(*channels, 3, padding=1, bias=bias).requires_grad_(False)
    _compare(conv, torch.randn(images, channels[0], *size))


def test_small_maps_take_the_plain_way():
    conv = nn.Conv2d(5, 4, 3, padding=1).requires_grad_(False)
    maps = torch.randn(1, 5, 60, winograd.SMALLEST_SIDE - 1)
    assert torch.equal(WinogradConv(conv)(maps), conv(maps))


@pytest.mark.parametrize(
    ("conv", "taken"),
    [
        (nn.Conv2d(128, 128, 3, padding=1), True),
        (nn.Conv2d(256, 352, 3, padding=1, bias=False), True),
        (nn.Conv2d(128, 128, 3, padding=1).bfloat16(), False),
        (nn.Conv2d(64, 256, 3, padding=1), False),
        (nn.Conv2d(256, 64, 3, padding=1), False),
        (nn.Conv2d(128, 128, 3, padding=1, stride=2), False),
        (nn.Conv2d(128, 128, 3, padding=2, dilation=2), False),
        (nn.Conv2d(128, 128, 3), False),
        (nn.Conv2d(128, 128, 1), False),
        (nn.Conv2d(128, 128, 3, padding=1, groups=2), False),
        (nn.Conv2d(128, 128, 3, padding=1, padding_mode="circular"), False),
    ],
)
def test_which_convolutions_it_replaces(conv, taken):
    assert takes_the_place_of(conv) is taken
