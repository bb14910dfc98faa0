"""VoVNetV2. Numbers in comments are those of the fact sheet on CenterMask."""

import pytest
import torch
from torch.nn import functional as F

from yolact.config import BackboneConfig, FCOSConfig, YolactConfig
from yolact.config.base import ConfigError
from yolact.models.backbones import build_backbone
from yolact.models.backbones.vovnet import BODIES, Body, EffectiveSqueezeExcitation, VoVNet, tiny_body
from yolact.models.build import build_model
from yolact.models.official.vovnet import vovnet_names

# 4: convolutions and eSE, with the affine weights of batch norm, tensors
TABLE = [
    ("vovnet19_slim_dw", 1_379_152, 1_384_752, 132),
    ("vovnet19_slim", 2_647_984, 2_653_136, 103),
    ("vovnet19", 10_170_560, 10_180_416, 103),
    ("vovnet39", 25_163_712, 25_184_128, 207),
    ("vovnet57", 41_423_296, 41_454_912, 303),
    ("vovnet99", 69_469_376, 69_523_520, 527),
]


def meta(name):
    with torch.device("meta"):
        return build_backbone(BackboneConfig(name=name, weights=None))


def official_names(body: Body) -> set[str]:
    """The names that the sheet gives (22), written out."""
    norm = ("weight", "bias", "running_mean", "running_var")

    def conv(at, separable=False):
        kinds = ("dw_conv3x3.weight", "pw_conv1x1.weight") if separable else ("conv.weight",)
        return {f"{at}/{each}" for each in kinds} | {f"{at}/{'pw_' if separable else ''}norm.{each}" for each in norm}

    names = set().union(*(conv(f"stem.stem_{n}", body.depthwise and n > 1) for n in (1, 2, 3)))
    before = body.stem[-1]
    for stage, (modules, inner, outer) in enumerate(zip(body.modules, body.inner, body.outer, strict=True), start=2):
        for number in range(1, modules + 1):
            module, of = f"stage{stage}.OSA{stage}_{number}", f"OSA{stage}_{number}"
            for layer in range(body.convs):
                names |= conv(f"{module}.layers.{layer}.{of}_{layer}", body.depthwise)
            names |= conv(f"{module}.concat.{of}_concat") | {f"{module}.ese.fc.weight", f"{module}.ese.fc.bias"}
            if body.depthwise and before != inner:
                names |= conv(f"{module}.conv_reduction.{of}_reduction_0")
            before = outer
    return names


@pytest.mark.parametrize(("name", "convolutions", "weights", "tensors"), TABLE, ids=[row[0] for row in TABLE])
def test_published_numbers_and_names(name, convolutions, weights, tensors):  # 4, 22
    network = meta(name)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    total = sum(value.numel() for value in network.parameters())
    assert total == weights
    assert total - sum(2 * norm.num_features for norm in norms) == convolutions
    assert len(network.state_dict()) - len(norms) == tensors
    official = official_names(BODIES[name])
    assert len(official) == tensors
    assert (
        vovnet_names({f"backbone.bottom_up.{each}": torch.zeros(1) for each in official}).keys() == network.state_dict().keys()
    )


def test_published_shapes():  # 22
    shapes = {name: tuple(value.shape) for name, value in meta("vovnet39").state_dict().items()}
    assert shapes["stages.0.0.concat.conv.weight"] == (256, 768, 1, 1)
    assert shapes["stages.2.1.layers.0.conv.weight"] == (192, 768, 3, 3)
    assert shapes["stages.2.1.concat.conv.weight"] == (768, 1728, 1, 1)


def test_official_files_load(tmp_path):
    torch.manual_seed(0)
    config = BackboneConfig(name="vovnet19_slim_dw", weights=None)
    wanted = build_backbone(config)
    theirs = {next(iter(vovnet_names({name: torch.zeros(1)}))): name for name in official_names(BODIES[config.name])}
    torch.save(
        {theirs[name]: value for name, value in wanted.state_dict().items() if name in theirs}, tmp_path / "official.pth"
    )
    loaded = build_backbone(config.replace(weights=str(tmp_path / "official.pth")))
    assert all(torch.equal(value, wanted.state_dict()[name]) for name, value in loaded.state_dict().items())
    with pytest.raises(ConfigError, match="no torchvision ImageNet weights for 'vovnet39'"):
        build_backbone(BackboneConfig(name="vovnet39"))


@pytest.mark.parametrize(("bias", "factor"), [(0.0, 0.5), (3.0, 1.0), (-3.0, 0.0)])
def test_attention(bias, factor):  # 38
    attention = EffectiveSqueezeExcitation(4)
    torch.nn.init.zeros_(attention.fc.weight)
    torch.nn.init.constant_(attention.fc.bias, bias)
    features = torch.randn(2, 4, 5, 3)
    torch.testing.assert_close(attention(features), features * factor)


def test_a_stage_step_by_step():  # 2, 38: the identity is added from the second module on
    torch.manual_seed(0)
    network = VoVNet(Body(2, (2, 1, 1, 1), (4, 4, 8), (3, 3, 3, 3), (8, 8, 8, 8))).eval()
    first, second = network.stages[0]
    assert not first.identity and second.identity and not network.stages[1][0].identity
    features = torch.randn(1, 8, 6, 6)

    def conv(unit, maps):
        return F.relu(unit.norm(unit.conv(maps)))

    made = features
    for module, added in ((first, 0.0), (second, 1.0)):
        one = conv(module.layers[0], made)
        two = conv(module.layers[1], one)
        joined = conv(module.concat, torch.cat([made, one, two], 1))
        share = ((module.attention.fc(joined.mean((2, 3), keepdim=True)) + 3).clamp(0, 6)) / 6
        made = joined * share + added * made
    with torch.no_grad():
        torch.testing.assert_close(network.stages[0](features), made)


@pytest.mark.parametrize("side", [550, 400, 128, 97, 98, 99, 100])
def test_sizes_are_those_of_the_maps(side):  # 38
    with torch.device("meta"):
        network = VoVNet(tiny_body(16))
        maps = network(torch.zeros(1, 3, side, side))
    assert network.level_sizes(side) == [tuple(each.shape[-2:]) for each in maps]
    assert [each.shape[1] for each in maps] == [64, 96, 128]  # 12: the toy version
    network.include_c2()
    with torch.device("meta"):
        maps = network(torch.zeros(1, 3, side, side))
    assert network.level_sizes(side) == [tuple(each.shape[-2:]) for each in maps]
    assert network.channels == tuple(each.shape[1] for each in maps)


def test_published_sizes():  # 38
    assert VoVNet(tiny_body(4)).level_sizes(550) == [(69, 69), (34, 34), (17, 17)]


@pytest.mark.parametrize(("config", "per_cell"), [(YolactConfig, 3), (FCOSConfig, 1)], ids=["anchors", "points"])
@pytest.mark.parametrize("branch", ["prototypes", "dynamic"])
def test_locations_stand_where_the_maps_have_cells(config, per_cell, branch):
    backbone = {"name": "vovnet_tiny", "weights": None}
    chosen = config.from_data({"image_size": 550, "mask_branch": {"kind": branch}, "backbone": backbone})
    with torch.device("meta"):
        model = build_model(chosen, 3, pretrained=False).eval()
        raw = model(torch.zeros(1, 3, 550, 550))
    sides = (69, 34, 17, 9, 5)
    assert model.head.level_sizes == [(side, side) for side in sides]
    assert len(model.head.locations) == raw.dense.box.shape[1] == per_cell * sum(side**2 for side in sides)
