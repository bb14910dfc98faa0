"""Padding of convolutions: the same weights, another border."""

import pytest
import torch
from torch import nn

from tests.support.networks import TINY, predict
from yolact.config import InferenceConfig
from yolact.models.build import build_model
from yolact.models.layers.padding import BorderConv2d, padding_of, set_padding

MODES = ("reflect", "replicate", "circular")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_reads_what_torch_s_own_padding_mode_gives(mode, stride):
    expected = nn.Conv2d(3, 5, 3, stride, padding=1, padding_mode=mode)
    holder = nn.Sequential(nn.Conv2d(3, 5, 3, stride, padding=1))
    holder[0].load_state_dict(expected.state_dict())
    weight = holder[0].weight
    assert padding_of(holder) == "zeros"
    set_padding(holder, mode)
    assert padding_of(holder) == mode
    images = torch.rand(2, 3, 7, 6)
    assert torch.equal(holder(images), expected(images))
    assert holder[0].weight is weight
    set_padding(holder, "zeros")
    assert type(holder[0]) is nn.Conv2d and padding_of(holder) == "zeros"
    assert torch.equal(holder(images), nn.functional.conv2d(images, expected.weight, expected.bias, stride, 1))


@pytest.mark.parametrize("mode", MODES)
def test_maps_smaller_than_the_padding_still_pass(mode):
    holder = nn.Sequential(nn.Conv2d(1, 1, 7, padding=3))
    set_padding(holder, mode)
    assert holder(torch.rand(1, 1, 1, 2)).shape == (1, 1, 1, 2)


def test_circular_padding_makes_a_network_of_stride_one_translation_invariant():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    image = torch.rand(1, 3, 8, 8)
    moved = image.roll((3, 2), (2, 3))
    assert not torch.allclose(network(moved), network(image).roll((3, 2), (2, 3)), atol=1e-4)
    set_padding(network, "circular")
    assert torch.allclose(network(moved), network(image).roll((3, 2), (2, 3)), atol=1e-6)


def test_a_network_takes_its_padding_from_its_configuration():
    config = TINY
    plain = build_model(config, 2, pretrained=False).eval()
    mirrored = build_model(config.replace(padding="reflect"), 2, pretrained=False).eval()
    mirrored.load_state_dict(plain.state_dict())
    assert not [m for m in plain.modules() if isinstance(m, BorderConv2d)]
    assert [m for m in mirrored.modules() if isinstance(m, BorderConv2d)]
    image = torch.randint(0, 256, (1, 3, config.image_size, config.image_size)).float()
    assert not torch.equal(plain(image).context[0], mirrored(image).context[0])
    found = predict(mirrored, [image[0].byte()], InferenceConfig(score_threshold=0.0))[0]
    assert len(found)
