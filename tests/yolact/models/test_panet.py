"""PANet's three parts. Numbers in comments are those of part A of the fact sheet on FCIS, MNC and PANet."""

from functools import partial

import pytest
import torch
from torch import nn

from tests.support.networks import SIZE, loss, predict, random_batch, tiny_model
from yolact.config import BackboneConfig, InferenceConfig, MaskRCNNConfig, PANetConfig
from yolact.config.base import ConfigError
from yolact.models.build import build_model
from yolact.models.necks.path_aggregation import PathAggregation
from yolact.models.two_stage.panet_heads import FusedHead, MaskFusion, light_box_head

FIELDS = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=4),
    "channels": 8,
    "representation": 16,
    "regions_per_image": 32,
    "anchor_sizes": (8, 16, 24, 32),
}
TINY = PANetConfig(**FIELDS, groups=2)
PLAIN = TINY.replace(bottom_up=False, adaptive_pooling=False, fc_fusion=False, heavy_head=False, groups=None)
NORMS = {"GroupNorm": partial(nn.GroupNorm, 2), "none": None}
EASY = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=20)


def levels(sides=(8, 4, 2), channels=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(1, channels, side, side, generator=generator) for side in sides]


def as_panet(name):
    """PANet's name of one of Mask R-CNN's weights."""
    for theirs, ours in (
        ("box_head.fc6", "box_head.first.0.1"),
        ("box_head.fc7", "box_head.rest.1"),
        ("mask_head.0.", "mask_head.first.0."),
        ("mask_head.1.", "mask_head.rest.0."),
        ("mask_head.2.", "mask_head.rest.1."),
        ("mask_head.3.", "mask_predictor.conv."),
        ("mask_predictor.conv5_mask", "mask_predictor.upsample"),
        ("mask_predictor.mask_fcn_logits", "mask_predictor.logits"),
    ):
        name = name.replace(theirs, ours)
    return name


@pytest.fixture
def pair():
    """PANet with everything off, and a Mask R-CNN of the same weights."""
    ours, theirs = tiny_model(PLAIN, seed=1), tiny_model(MaskRCNNConfig(**FIELDS), seed=2)
    ours.load_state_dict({as_panet(name): value for name, value in theirs.state_dict().items()})
    return ours, theirs


def test_without_its_parts_it_learns_as_mask_rcnn(pair):  # 9
    images, targets = random_batch(0)
    found, expected = (loss(model.train(), images, targets) for model in pair)
    assert list(found) == list(expected) == ["objectness", "rpn_box", "class", "box", "mask"]
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_without_its_parts_it_finds_what_mask_rcnn_finds(pair):  # 9
    picture = [torch.randint(0, 256, (3, 40, 56), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)]
    (found,), (expected,) = (predict(model.eval(), picture, EASY) for model in pair)
    assert len(found) == 20
    for part in ("boxes", "scores", "labels", "masks"):
        assert torch.equal(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_a_level_is_fused_from_the_finer_one_and_its_own(norm):  # 1
    torch.manual_seed(0)
    path, given = PathAggregation(4, 3, norm).eval(), levels()
    found = path(given)
    assert torch.equal(found[0], given[0])
    for index in (1, 2):
        assert torch.equal(found[index], path.fuse[index - 1](path.down[index - 1](found[index - 1]) + given[index]))
    for down in path.down:
        nn.init.zeros_(down[0].weight)
    for index, level in enumerate(path(given)[1:]):
        assert torch.equal(level, path.fuse[index](given[index + 1]))


def test_without_norm_there_is_no_relu_either():  # 1, the quirk
    torch.manual_seed(0)
    plain, normed = (PathAggregation(4, 3, norm)(levels())[1:] for norm in (None, NORMS["GroupNorm"]))
    assert all((level < 0).any() for level in plain)
    assert all((level >= 0).all() for level in normed)


@pytest.mark.parametrize("sides", [(69, 35, 18), (16, 8, 4)], ids=["550 px", "128 px"])
def test_sides_fit_without_resizing(sides):  # 2
    given = levels(sides)
    assert [level.shape for level in PathAggregation(4, 3, None)(given)] == [level.shape for level in given]


def test_a_backbone_whose_levels_round_down_is_refused_at_some_sizes():  # VoVNet makes 69, 34, 17 cells of 550 pixels
    vovnet = TINY.replace(image_size=550, backbone=BackboneConfig(name="vovnet_tiny", weights=None))
    with torch.device("meta"), pytest.raises(ConfigError, match="choose an image_size that 32 divides"):
        build_model(vovnet, num_classes=3)
    for fits in ({"bottom_up": False}, {"image_size": 544}):
        with torch.device("meta"):
            build_model(vovnet.replace(**fits), num_classes=3)


def test_levels_above_are_pooled_from_the_aggregated_ones():  # 1
    model = tiny_model(TINY).eval()
    found = model(random_batch(0)[0]).levels
    assert [level.shape[-1] for level in found] == [8, 4, 2, 1]
    assert torch.equal(found[3], found[2][..., ::2, ::2])


def test_fusion_takes_the_largest_value_of_any_level():  # 9
    head = FusedHead([nn.Identity()] * 4, nn.Identity())
    outputs = [torch.tensor([pair], dtype=torch.float32) for pair in ((1, 5), (3, 2), (0, 0), (2, 4))]
    assert head(outputs).tolist() == [[3, 5]]


def test_the_order_of_levels_with_their_layers_does_not_matter():  # 9
    torch.manual_seed(0)
    head = light_box_head(3, 4, 7, 16, NORMS["GroupNorm"])
    pooled = [torch.randn(5, 4, 7, 7) for _ in range(3)]
    moved = FusedHead([head.first[i] for i in (2, 0, 1)], head.rest)
    assert torch.equal(head(pooled), moved([pooled[i] for i in (2, 0, 1)]))
    assert not torch.equal(head(pooled), head([pooled[i] for i in (2, 0, 1)]))


@pytest.mark.parametrize("pool", ["box_roi_pool", "mask_roi_pool"])
def test_one_region_teaches_every_level(pool):  # 3, 9
    model = tiny_model(TINY)
    given = dict(zip(("P3", "P4", "P5"), levels(channels=8), strict=True))
    for level in given.values():
        level.requires_grad_(True)
    heads = model.detector.roi_heads
    head = heads.box_head if pool == "box_roi_pool" else heads.mask_head
    head(getattr(heads, pool)(given, [torch.tensor([[5.0, 6.0, 20.0, 30.0]])], [(SIZE, SIZE)])).square().sum().backward()
    assert all(level.grad.any() for level in given.values())


def fusion(fully_connected=True, channels=8):
    torch.manual_seed(0)
    return MaskFusion(channels, 14, 3, NORMS["GroupNorm"], fully_connected).eval()


def test_the_fully_connected_path_adds_one_map_to_every_class():  # 5
    x, made = torch.randn(2, 8, 14, 14), fusion()
    plain = fusion(False)
    plain.load_state_dict({name: value for name, value in made.state_dict().items() if name in plain.state_dict()})
    added = made(x) - plain(x)
    torch.testing.assert_close(added, added[:, :1].expand(-1, 3, -1, -1))
    assert added.max() > 0 and added.min() >= -1e-6  # the quirk: it can only raise logits
    nn.init.zeros_(made.fc.weight)
    assert torch.equal(made(x), plain(x))  # 9


def test_number_of_weights_of_the_fully_connected_layer():  # 5
    with torch.device("meta"):
        model = build_model(PANetConfig(backbone=BackboneConfig(name="resnet50", weights=None)), num_classes=80)
    fused = model.detector.roi_heads.mask_predictor
    assert fused.fc.weight.shape == (784, 25_088)
    assert sum(value.numel() for value in fused.fc.parameters()) == 19_669_776
    assert fused.reduce[1][0].out_channels == 128


def test_every_weight_learns():
    model = tiny_model(TINY).train()
    terms = loss(model, *random_batch(0))
    sum(terms.values()).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]
    assert not without


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"groups": 3}, "groups 3 does not divide channels, 8"),
        ({"groups": 8}, "groups 8 does not divide half of channels, 4"),
        ({"groups": 8, "fc_fusion": False, "heavy_head": False, "representation": 12}, "does not divide representation, 12"),
    ],
)
def test_groups_divide_the_channels(changes, message):
    with pytest.raises(ConfigError, match=message):
        TINY.replace(**changes)
