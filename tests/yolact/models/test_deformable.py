"""Deformable convolutions in ResNets. Numbers in comments are those of the fact sheet on YOLACT++."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.reference import slow_deformable
from tests.support.networks import TINY, TINY_PLUS, TINY_POINTS, loss, predict, random_batch, tiny_model
from yolact.config import BackboneConfig, DeformableConfig, InferenceConfig
from yolact.config.base import ConfigError
from yolact.config.presets import PRESETS
from yolact.errors import UserError
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.models.backbones import build_backbone
from yolact.models.backbones.deformable import DeformableConv2d, deformable_blocks
from yolact.models.layers.padding import set_padding

BLOCKS = {"resnet101": (3, 4, 23, 3), "resnet50": (3, 4, 6, 3)}


def layer(inputs=2, outputs=3, stride=1, modulated=True, seed=0, offsets=0.0):
    """A deformable convolution, as `offsets` says with random ones, in float64, and the convolution that it replaced."""
    torch.manual_seed(seed)
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    made = DeformableConv2d(conv, modulated)
    if offsets:
        nn.init.normal_(made.conv_offset_mask.weight, std=offsets)
        nn.init.normal_(made.conv_offset_mask.bias, std=offsets)
        nn.init.normal_(made.bias)
    return made.double(), conv.double()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("factor", "logit"), [(1.0, 20.0), (0.5, 0.0)])
def test_without_offsets_it_is_the_convolution_it_replaces(stride, factor, logit):  # 12, 34
    made, conv = layer(stride=stride)
    with torch.no_grad():
        made.conv_offset_mask.bias[18:] = logit
        made.bias[:] = torch.tensor([1.0, 2.0, 3.0])
    maps = torch.randn(2, 2, 7, 6, dtype=torch.float64)
    expected = factor * conv(maps) + made.bias[:, None, None]  # the bias is not halved
    torch.testing.assert_close(made(maps), expected, rtol=1e-6, atol=1e-6)
    plain, conv = layer(stride=stride, modulated=False)
    torch.testing.assert_close(plain(maps), conv(maps))


@pytest.mark.parametrize(
    ("dy", "dx", "place", "expected"),
    [
        (0, 0, (1, 1), 18),
        (0, 0, (0, 0), 4),
        (1, 0, (1, 1), 16.5),  # 14.5 if all dy came before all dx
        (0, 1, (1, 1), 13.5),
        (0.5, 0, (1, 1), 17.25),
        (0, 0.5, (1, 1), 15.75),
        (-0.5, 0, (0, 0), 2.25),  # samples half a pixel outside
    ],
)
def test_the_worked_map(dy, dx, place, expected):  # 35
    made, _ = layer(1, 1)
    with torch.no_grad():
        made.weight.fill_(1)
        made.conv_offset_mask.bias[:18:2] = dy
        made.conv_offset_mask.bias[1:18:2] = dx
    maps = torch.arange(9, dtype=torch.float64).reshape(1, 1, 3, 3)
    assert made(maps)[0, 0][place].item() == pytest.approx(expected, abs=1e-12)
    offsets = np.tile(np.array([dy, dx], dtype=float), 9)[:, None, None] * np.ones((18, 3, 3))
    slow = slow_deformable.deformable_conv(maps[0].numpy(), offsets, np.full((9, 3, 3), 0.5), np.ones((1, 1, 3, 3)), [0.0])
    assert slow[0][place] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**31),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.sampled_from([0.2, 1.0, 4.0]),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_as_the_slow_path(seed, stride, modulated, spread, height, width):  # 10, 11
    made, _ = layer(2, 2, stride, modulated, seed, spread)
    maps = torch.randn(1, 2, height, width, dtype=torch.float64)
    out = made.conv_offset_mask(maps)[0].detach().numpy()
    factors = 1 / (1 + np.exp(-out[18:])) if modulated else None
    weight, bias = made.weight.detach().numpy(), made.bias.detach().numpy()
    expected = slow_deformable.deformable_conv(maps[0].numpy(), out[:18], factors, weight, bias, stride)
    np.testing.assert_allclose(made(maps)[0].detach().numpy(), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("backbone", "last", "interval", "count"),
    [
        ("resnet101", (0, 4, 23, 3), 3, 11),
        ("resnet50", (0, 4, 6, 3), 1, 13),
        ("resnet101", (0, 4, 23, 3), 1, 30),
        ("resnet101", (0, 4, 23, 3), 4, 8),
        ("resnet101", (0, 0, 7, 3), 1, 10),
        ("resnet101", (0, 0, 10, 3), 1, 13),
    ],
)
def test_how_many_blocks_are_deformable(backbone, last, interval, count):  # 7
    found = [deformable_blocks(*stage, interval) for stage in zip(BLOCKS[backbone], last, strict=True)]
    assert sum(map(len, found)) == count


def test_which_blocks_of_the_published_networks_are_deformable():  # 7
    found = [deformable_blocks(*stage, 3) for stage in zip(BLOCKS["resnet101"], (0, 4, 23, 3), strict=True)]
    assert found == [[], [0, 3], [0, 3, 6, 9, 12, 15, 18, 21], [0]]
    with torch.device("meta"):
        built = build_backbone(PRESETS["yolact_plus_base"].model.backbone, pretrained=False)
    names = [name for name, module in built.named_modules() if isinstance(module, DeformableConv2d)]
    assert names == [f"layer{s + 1}.{block}.conv2" for s, blocks in enumerate(found) for block in blocks]
    strides = [built.get_submodule(name).stride for name in names]
    assert strides == [(2, 2) if ".0." in name else (1, 1) for name in names]


def test_the_tiny_network_is_deformable_in_its_last_three_stages():  # 44
    model = tiny_model(TINY_PLUS)
    assert [isinstance(block.conv2, DeformableConv2d) for block in model.backbone.stages] == [False, True, True, True]


@pytest.mark.parametrize("modulated", [True, False])
def test_offsets_learn_from_the_first_step(modulated):  # 37
    backbone = TINY_PLUS.backbone.replace(deformable=DeformableConfig(modulated=modulated))
    model = tiny_model(TINY_PLUS.replace(backbone=backbone))
    images, targets = random_batch(0)
    sum(loss(model, images, targets).values()).backward()
    convs = [module.conv_offset_mask for module in model.modules() if isinstance(module, DeformableConv2d)]
    assert len(convs) == 3
    for conv in convs:
        assert conv.weight.shape[0] == (27 if modulated else 18)
        assert not conv.weight.any() and conv.weight.grad.abs().sum() > 0 and conv.bias.grad.abs().sum() > 0


def test_weights_of_plain_and_of_deformable_backbones_load(tmp_path):
    plain = build_backbone(BackboneConfig(name="resnet_tiny", weights=None, width=4))
    torch.save(plain.state_dict(), tmp_path / "plain.pt")
    config = TINY_PLUS.backbone.replace(weights=str(tmp_path / "plain.pt"))
    made = build_backbone(config)
    for name, value in plain.state_dict().items():
        assert torch.equal(made.state_dict()[name], value), name
    conv = made.stages[3].conv2
    assert not conv.bias.any() and not conv.conv_offset_mask.weight.any() and not conv.conv_offset_mask.bias.any()
    nn.init.normal_(conv.conv_offset_mask.weight)
    torch.save(made.state_dict(), tmp_path / "whole.pt")
    again = build_backbone(config.replace(weights=str(tmp_path / "whole.pt")))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in made.state_dict().items())
    torch.save({k: v for k, v in made.state_dict().items() if k != "stages.3.conv2.bias"}, tmp_path / "part.pt")
    with pytest.raises(UserError, match=r"missing \['stages\.3\.conv2\.bias'\]"):
        build_backbone(config.replace(weights=str(tmp_path / "part.pt")))


def random_offsets(network):
    for module in network.modules():
        if isinstance(module, DeformableConv2d):
            nn.init.normal_(module.conv_offset_mask.weight, std=0.1)
            nn.init.normal_(module.conv_offset_mask.bias)
            nn.init.normal_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18"])
def test_batch_norm_is_folded_into_it(name):
    config = BackboneConfig(name=name, weights=None, width=4, deformable=DeformableConfig(last_blocks=(0, 1, 1, 2)))
    network = random_offsets(build_backbone(config)).eval()
    images = torch.randn(1, 3, 48, 48)
    with torch.no_grad():
        expected = network(images)
        folded = fold_batch_norm(network)
        assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
        assert any(isinstance(module, DeformableConv2d) for module in folded.modules())
        for ours, theirs in zip(folded(images), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_training_with_held_batch_norm_computes_what_inference_does():
    """The blocks of torchvision's ResNets fold batch norm that is held; before a deformable convolution they don't."""
    network = random_offsets(build_backbone(BackboneConfig(name="resnet18", weights=None, deformable=DeformableConfig())))
    images = torch.randn(1, 3, 48, 48)
    expected = network.eval()(images)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for ours, theirs in zip(network(images), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["channels last", "bfloat16"])
def test_other_layouts_and_types(kind):
    network = random_offsets(build_backbone(TINY_PLUS.backbone)).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(images)
        if kind == "channels last":
            made = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
        else:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                made = network(images)
    close = {"rtol": 1e-4, "atol": 1e-5} if kind == "channels last" else {"rtol": 0.1, "atol": 0.1}
    for ours, theirs in zip(made, expected, strict=True):
        torch.testing.assert_close(ours.float(), theirs, **close)


@pytest.mark.parametrize("name", ["darknet53", "mobilenet_v2", "lab.mine:build"])
def test_other_backbones_are_refused(name):
    with pytest.raises(ConfigError, match=f"deformable is for the 3x3 convolutions of resnet101.*; {name} has none") as error:
        BackboneConfig.from_data({"name": name, "weights": None, "deformable": {}})
    assert error.value.fields == ("name", "deformable")


def test_other_padding_is_refused():
    with pytest.raises(ConfigError, match=r"deformable convolutions read zeros.*padding 'reflect'"):
        TINY_PLUS.replace(padding="reflect")
    with pytest.raises(ConfigError, match="deformable convolutions read zeros"):
        set_padding(tiny_model(TINY_PLUS), "reflect")
    set_padding(tiny_model(TINY_PLUS), "zeros")


def test_every_detector_may_have_them():
    (found,) = predict(
        tiny_model(TINY_POINTS.replace(backbone=TINY_PLUS.backbone)),
        [torch.zeros(3, 20, 20, dtype=torch.uint8)],
        InferenceConfig(),
    )
    assert found.masks is not None


def test_without_the_field_plain_data_are_as_before():
    assert "deformable" not in TINY.to_data()["backbone"]
    assert BackboneConfig.from_data(TINY_PLUS.backbone.to_data()) == TINY_PLUS.backbone
