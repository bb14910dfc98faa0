"""SOLO, decoupled SOLO and SOLOv2. Numbers in comments are sections of the fact sheets on SOLO and SOLOv2."""

import math

import pytest
import torch
from torch.nn import functional as F

from tests.reference import slow_solo
from tests.support.networks import (
    SIZE,
    TINY_DECOUPLED,
    TINY_SOLO,
    TINY_SOLOV2,
    loss,
    predict,
    random_batch,
    target,
    tiny_model,
)
from yolact.config import (
    BackboneConfig,
    CellHeadConfig,
    ConfigError,
    DecoupledSoloConfig,
    InferenceConfig,
    MaskFeaturesConfig,
    MatrixNMSConfig,
    SoloConfig,
    Solov2Config,
)
from yolact.models.base import total_counts
from yolact.models.box_free.solo.dynamic import MaskFeatures
from yolact.models.box_free.solo.model import Raw
from yolact.models.box_free.solo.towers import size_of, with_coordinates
from yolact.models.build import build_model
from yolact.models.masks.condinst import dice_loss

ALL = pytest.mark.parametrize("config", [TINY_SOLO, TINY_DECOUPLED, TINY_SOLOV2], ids=["solo", "decoupled", "solov2"])
INFERENCE = InferenceConfig(suppression="matrix", score_threshold=0.1, pre_nms_top_k=500)
LIGHT = {"head": CellHeadConfig(convs=2, width=256), "mask_features": MaskFeaturesConfig(features=128)}


def resnet(name):
    return BackboneConfig(name=name, weights=None)


def parameters(module):
    return sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize(
    ("config", "total", "parts"),
    [
        (SoloConfig(backbone=resnet("resnet50")), 36_301_232, 9_448_816),
        (SoloConfig(backbone=resnet("resnet101")), 55_293_360, 9_448_816),
        (DecoupledSoloConfig(backbone=resnet("resnet50")), 40_028_560, 13_176_144),
        (DecoupledSoloConfig(backbone=resnet("resnet50"), towers=1, head=CellHeadConfig(convs=4)), 32_354_192, 5_501_776),
        (Solov2Config(backbone=resnet("resnet50")), 46_592_912, 18_081_104 + 1_659_392),
        (Solov2Config(backbone=resnet("resnet101")), 65_585_040, 18_081_104 + 1_659_392),
        (Solov2Config(backbone=resnet("resnet50"), **LIGHT), 31_340_560, None),
        (Solov2Config(backbone=resnet("resnet18"), **LIGHT), 18_271_760, None),
    ],
)
def test_parameter_counts(config, total, parts):  # SOLO 2.9, SOLOv2 7.4
    with torch.device("meta"):
        model = build_model(config, 80, pretrained=False)
    assert parameters(model) == total
    if parts is not None:
        assert parameters(model.categories) + parameters(model.source) == parts
        assert parameters(model.fpn) == 3_344_384
    if config == Solov2Config(backbone=resnet("resnet50")):
        assert parameters(model.source.features) == 1_659_392


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        (SoloConfig, [(256, side, side) for side in (32, 32, 16, 8, 8)]),
        (DecoupledSoloConfig, [(n, s, s) for _ in "xy" for n, s in zip((40, 36, 24, 16, 12), (32, 32, 16, 8, 8), strict=True)]),
        (Solov2Config, [(256, 32, 32)]),
    ],
)
def test_shapes_at_128(config, shapes):  # SOLO 2.7, SOLOv2 2.5
    with torch.device("meta"):
        model = build_model(config(image_size=128, backbone=resnet("resnet18")), 80, pretrained=False)
        raw = model(torch.zeros(2, 3, 128, 128))
    assert raw.logits.shape == (2, 3872, 80)
    assert raw.kernels.shape == (2, 3872, 256 if config is Solov2Config else 0)
    assert [tuple(each.shape) for each in raw.context] == [(2, *shape) for shape in shapes]


@ALL
@pytest.mark.parametrize("size", [64, 96, 550])
def test_masks_of_all_levels_have_one_size(config, size):  # SOLO 9.5
    model = tiny_model(config.replace(image_size=size, backbone=config.backbone.replace(width=4))).eval()
    inference = INFERENCE.replace(mask_threshold=0.0, peaks="none", maskness=False)
    with torch.no_grad():
        raw = model(torch.rand(1, 3, size, size) * 255)
        raw.logits[0, ::40, 0] = 2.0  # cells of every level
        (found,) = model.postprocess(raw, [(size, size)], inference)
    assert found.masks.shape[1:] == (size, size) and len(found) >= 1
    model.criterion(raw, model.assign([target([[4, 4, 40, 40]], size=size)]))  # targets fit


def test_initial_losses():  # SOLO 10.4
    """Zero weights and a bias of -4.59512: every probability is 0.01."""
    config = SoloConfig(backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4), image_size=64, channels=32)
    with torch.device("meta"):
        model = build_model(config, 80)
    logits = torch.full((1, 3872, 80), -math.log(99))
    maps = [torch.zeros(1, 256, 16, 16)] * 5
    assert logits[0, 0, 0].item() == pytest.approx(-4.59512, abs=1e-5)
    raw = Raw(logits, torch.zeros(1, 3872, 0), tuple(maps))
    empty = model.assign([target([])])
    background = model.criterion(raw, empty)["class"].item()
    assert background == pytest.approx(0.23349, abs=1e-5)
    empty.classes[0, 17] = 4
    one = model.criterion(raw, empty, {"positives": 0, "masks": 0, "images": 1})["class"].item()
    assert one - background == pytest.approx(1.12838 - 7.54e-7, abs=1e-5)


@ALL
def test_initial_weights(config):  # SOLO 2.8, SOLOv2 2.4
    model = tiny_model(config)
    assert model.categories.output.bias.unique().tolist() == pytest.approx([-4.59512], abs=1e-5)
    assert model.categories.tower[0][0].weight.std().item() == pytest.approx(0.01, rel=0.1)
    if config is TINY_SOLOV2:
        assert not model.source.output.bias.any()
    elif config is TINY_SOLO:
        assert all(output.bias.unique().tolist() == pytest.approx([-4.59512], abs=1e-5) for output in model.source.outputs)


@pytest.mark.parametrize(
    ("made", "wanted", "value"),
    [([0.9, 0.8, 0.1, 0], [1, 1, 0, 0], 0.017909), ([1, 1, 1], [1, 1, 1], 0.000333), ([0, 0, 0], [0, 0, 0], 1)],
)
def test_dice(made, wanted, value):  # SOLO 4.1
    found = dice_loss(torch.tensor([[made]]).float(), torch.tensor([[wanted]]).float(), 2e-3).item()
    assert found == pytest.approx(value, abs=1e-6) and found == pytest.approx(slow_solo.dice(made, wanted), abs=1e-6)


@ALL
def test_loss_as_the_slow_path(config):
    model = tiny_model(config).eval()
    images, targets = random_batch(3, images=2, n=3, crowds=1)
    with torch.no_grad():
        raw = model(images)
        made = model.criterion(raw, model.assign(targets))
    starts, dice, owners = model.starts, [], {}
    labels = [[None] * starts[-1] for _ in targets]
    for image, truth in enumerate(targets):
        masks, boxes = truth.masks[~truth.crowd].tolist(), truth.boxes[~truth.crowd].tolist()
        claimed = slow_solo.claims(SIZE, model.grids, config.matching.scale_ranges, boxes, masks)
        owner = {place: number for number, *cell in sorted(claimed) if (place := tuple(cell))}
        if config.loss.shared_cells == "last":
            claimed = [(number, *place) for place, number in owner.items()]
        for number, level, row, column in claimed:
            cell = row * model.grids[level] + column
            labels[image][starts[level] + cell] = int(truth.labels[owner[level, row, column]])
            kernel = raw.kernels[image, starts[level] + cell][None]
            with torch.no_grad():
                maps = tuple(each[image] for each in raw.context)
                (soft,) = model.source.masks(maps, kernel, level, torch.tensor([cell]))
            wanted = torch.tensor(slow_solo.shrink(masks[number], SIZE // len(soft)))
            dice.append(slow_solo.dice(soft.flatten().tolist(), wanted.flatten().tolist()))
        owners |= {(image, *place): number for place, number in owner.items()}
    assert len(dice) >= len(owners) > 10
    assert made["mask"].item() == pytest.approx(3 * sum(dice) / len(dice), rel=1e-4)
    focal = sum(slow_solo.focal(raw.logits[i].tolist(), labels[i]) for i in range(2)) / (len(owners) + 1)
    assert made["class"].item() == pytest.approx(focal, rel=1e-4)


def test_two_objects_of_a_cell():  # SOLOv2 4.2
    """Both masks are taught to one kernel; the sum of dice losses is divided by masks, or by cells."""
    twice = target([[16, 16, 48, 48]] * 2, labels=[0, 1])
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 255
    values = {}
    for divisor in ("masks", "cells"):
        model = tiny_model(TINY_SOLOV2.replace(loss=TINY_SOLOV2.loss.replace(mask_divisor=divisor)))
        assignment = model.assign([twice])
        assert assignment.counts["masks"] == 2 * assignment.counts["positives"]
        values[divisor] = model.loss(images, assignment)["mask"].item()
    assert values["cells"] == pytest.approx(2 * values["masks"], rel=1e-5)


def test_rows_of_the_last_convolution():  # SOLO 10.6; SOLOv2 8.5
    model = tiny_model(TINY_SOLO).eval()
    features = [torch.randn(16, 12, 12) for _ in range(5)]
    for level, output in enumerate(model.source.outputs):
        cells = torch.tensor([0, 3, 3, output.out_channels - 1])
        with torch.no_grad():
            rows = model.source.masks(features, torch.zeros(4, 0), level, cells)
            whole = output(features[level][None])[0]
        torch.testing.assert_close(rows, whole.sigmoid()[cells])
        kernels = output.weight[cells].flatten(1)
        static = tiny_model(TINY_SOLOV2).source.masks((features[level],), kernels, level, cells)
        logit = (whole[cells] - output.bias[cells][:, None, None]).sigmoid()
        torch.testing.assert_close(static, logit)


def test_a_kernel_is_a_convolution():  # SOLOv2 8.4
    source = tiny_model(TINY_SOLOV2).source
    features, kernels = torch.randn(16, 9, 7), torch.randn(5, 16)
    found = source.masks((features,), kernels, 0, torch.arange(5))
    expected = F.conv2d(features[None], kernels[:, :, None, None])[0].sigmoid()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(source.masks((features,), torch.eye(16), 0, torch.arange(16)), features.sigmoid())


def test_a_decoupled_mask_is_the_common_part():  # SOLO 10.9
    source = tiny_model(TINY_DECOUPLED).source
    maps = [torch.full((side, 8, 8), -20.0) for _ in range(2) for side in source.grids]
    maps[2][4, :, 3:] = 20.0  # column 4 of level 2: the right of the image
    maps[5 + 2][1, :5] = 20.0  # row 1: the upper part
    (soft,) = source.masks(maps, torch.zeros(1, 0), 2, torch.tensor([1 * 6 + 4]))
    expected = torch.zeros(8, 8)
    expected[:5, 3:] = 1
    torch.testing.assert_close(soft, expected, atol=1e-6, rtol=0)
    larger = source.masks(maps, torch.zeros(1, 0), 2, torch.tensor([10]), size=(16, 16))[0]
    column, row = (F.interpolate(maps[i].sigmoid()[None], size=(16, 16), mode="bilinear")[0] for i in (2, 7))
    torch.testing.assert_close(larger, column[4] * row[1])  # each is resized before the product


@pytest.mark.parametrize("size", range(64, 513, 64))
def test_mask_features(size):  # SOLOv2 8.6
    with torch.device("meta"):
        made = MaskFeatures(16, MaskFeaturesConfig(features=32, channels=8, groups=4))
        assert made([torch.zeros(1, 16, size // stride, size // stride) for stride in (4, 8, 16, 32)]).shape == (
            *(1, 32),
            *(size // 4, size // 4),
        )


def test_mask_features_see_the_place():  # SOLOv2 8.6
    torch.manual_seed(0)
    made = MaskFeatures(16, MaskFeaturesConfig(features=8, channels=8, groups=4))
    plain = MaskFeatures(16, MaskFeaturesConfig(features=8, channels=8, groups=4, coordinates=False))
    assert [len(convs) for convs in made.branches] == [1, 1, 2, 3] and made.branches[3][0][0].in_channels == 18
    nothing = [torch.zeros(1, 16, side, side) for side in (32, 16, 8, 4)]
    with torch.no_grad():
        assert made(nothing).std(dim=(2, 3)).max() > 0.01 and plain(nothing).std(dim=(2, 3)).max() < 1e-6


def test_p6_is_every_second_value_of_p5_and_no_mask_feature():  # SOLO 2.2, SOLOv2 3.2
    model = tiny_model(TINY_SOLOV2)
    pyramid = [torch.randn(1, 16, side, side) for side in (16, 8, 4, 2, 1)]
    before = model.source.context(pyramid, pyramid)[0]
    pyramid[4] = pyramid[4] + 1
    assert torch.equal(model.source.context(pyramid, pyramid)[0], before)


def test_coordinates():  # SOLOv2 8.7
    made = with_coordinates(torch.zeros(2, 1, 3, 5))
    assert made.shape == (2, 3, 3, 5)
    assert made[1, 1].tolist() == [[-1, -0.5, 0, 0.5, 1]] * 3 and made[1, 2, :, 0].tolist() == [-1, 0, 1]
    model = tiny_model(TINY_SOLOV2).eval()
    grids = [torch.ones(1, 16, side, side) for side in model.grids]
    with torch.no_grad():
        kernels = model.source.kernels([torch.ones(1, 16, 20, 20)] * 5, model.grids)[0, :100].reshape(10, 10, -1)
        categories = model.categories(grids)[0, :100].reshape(10, 10, -1)
    inner = slice(3, 7)  # away from what zero padding reaches
    assert kernels[inner, inner].flatten(0, 1).std(dim=0).max() > 1e-6
    assert categories[inner, inner].flatten(0, 1).std(dim=0).max() < 1e-6


@ALL
def test_splitting_a_batch_changes_nothing(config):  # SOLO 10.6
    model = tiny_model(config).eval()  # batch norm would see the split
    images, targets = random_batch(5, images=4, n=2, crowds=1)
    targets[1] = target([])
    whole = loss(model, images, targets)
    assignments = [model.assign(part) for part in (targets[:1], targets[1:2], targets[2:])]
    counts = total_counts(each.counts for each in assignments)
    parts = [model.loss(part, each, counts) for part, each in zip(images.split([1, 1, 2]), assignments, strict=True)]
    for name, value in whole.items():
        assert sum(part[name].item() for part in parts) == pytest.approx(value.item(), rel=1e-5)


@ALL
def test_batches_without_positives_are_finite(config):  # SOLO 10.6
    model = tiny_model(config)
    images, _ = random_batch(6, images=3)
    no_mask = target([[8, 8, 40, 40]])
    no_mask.masks.zero_()
    terms = loss(model, images, [target([]), target([[8, 8, 40, 40]], crowd=[True]), no_mask])
    sum(terms.values()).backward()
    assert terms["mask"].item() == 0 and terms["class"].item() > 0
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


def test_a_fault_anywhere_makes_the_loss_not_finite():
    model = tiny_model(TINY_SOLOV2)
    images, targets = random_batch(7)
    raw, assignment = model(images), model.assign(targets)
    for name in ("logits", "kernels"):
        broken = getattr(raw, name).detach().clone()
        broken[0, 0, 0] = math.inf
        assert not sum(model.criterion(raw._replace(**{name: broken}), assignment).values()).isfinite()


@ALL
@pytest.mark.parametrize("size", [(SIZE, SIZE), (50, 90), (1, 300)])
def test_detections(config, size):  # SOLO 10.8
    model = drawn(config)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))]
    for inference in (INFERENCE.replace(max_detections=7), INFERENCE.replace(suppression="greedy_mask")):
        (found,) = predict(model, images, inference)
        assert 1 <= len(found) <= inference.max_detections
        assert found.masks.dtype == torch.bool and found.masks.shape == (len(found), *size)
        assert found.masks.flatten(1).any(dim=1).all()
        assert ((found.scores[:-1] - found.scores[1:]) >= 0).all() and found.scores.min() >= 0 and found.scores.max() <= 1
        assert found.labels.min() >= 0 and found.labels.max() < 3
        for box, mask in zip(found.boxes.tolist(), found.masks, strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        (without,) = predict(model, images, inference.replace(masks=False))  # SOLOv2 8.9
        assert without.masks is None and without.prototypes is None and torch.equal(without.boxes, found.boxes)


def drawn(config, seed=0, num_classes=3):
    """A model whose outputs vary: detections of every class, masks of some extent."""
    model = tiny_model(config, num_classes, seed).eval()
    with torch.no_grad():
        model.categories.output.weight.normal_(std=0.15)
        model.categories.output.bias.fill_(-1)
        for module in model.source.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.normal_(std=0.2)
                if module.bias is not None:
                    module.bias.fill_(0.5)
    return model


def test_masks_are_combinations_of_the_features():  # SOLOv2 8.9
    model = drawn(TINY_SOLOV2)
    (found,) = predict(model, [torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8)], INFERENCE)
    n = len(found)
    assert found.prototypes.shape == (16, 16, 16) and found.coefficients.shape == (n, 16)
    soft = torch.einsum("ne,ehw->nhw", found.coefficients, found.prototypes).sigmoid()
    whole = F.interpolate(soft[None], size=(SIZE, SIZE), mode="bilinear")[0]
    assert torch.equal(whole > 0.5, found.masks)
    (other,) = predict(drawn(TINY_SOLO), [torch.zeros(3, SIZE, SIZE, dtype=torch.uint8)], INFERENCE)
    assert other.prototypes is None and other.coefficients is None


@ALL
def test_detections_as_the_slow_path(config, monkeypatch):
    """Peaks, areas, maskness, Matrix NMS and thresholds one candidate at a time; all the same in chunks."""
    model = drawn(config, seed=1)
    image = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)) * 255
    with torch.no_grad():
        raw = model(image)
    changes = {"score_threshold": 0.25, "max_detections": 20, "pre_nms_top_k": 60}
    inference = INFERENCE.replace(**changes, matrix=MatrixNMSConfig(score_threshold=0.2))
    (found,) = model.postprocess(raw, [(SIZE, SIZE)], inference)
    candidates, start = [], 0
    size = size_of(raw.context[0])
    for level, (side, stride) in enumerate(zip(model.grids, (8, 8, 16, 32, 32), strict=True)):
        scores = raw.logits[0, start : start + side * side].sigmoid().t().reshape(3, side, side).tolist()
        for label, grid in enumerate(scores):
            kept = slow_solo.peaks(grid, [(0, -1), (-1, 0), (-1, -1)])
            for cell in range(side * side):
                score = kept[cell // side][cell % side]
                if score <= 0.25:
                    continue
                kernel = raw.kernels[0, start + cell][None]
                maps = tuple(each[0] for each in raw.context)
                with torch.no_grad():
                    (soft,) = model.source.masks(maps, kernel, level, torch.tensor([cell]), size)
                inside = {(y, x): p for y, row in enumerate(soft.tolist()) for x, p in enumerate(row) if p > 0.5}
                if len(inside) > stride:
                    candidates.append((score * sum(inside.values()) / len(inside), label, set(inside), soft))
        start += side * side
    candidates = sorted(candidates, key=lambda each: -each[0])[:60]
    scores, classes, sets, softs = zip(*candidates, strict=True)
    changed = slow_solo.matrix_nms(sets, classes, scores)
    ranked = sorted((-score, number) for number, score in enumerate(changed) if score >= 0.2)[:20]
    assert len(ranked) > 3
    assert found.scores.tolist() == pytest.approx([-score for score, _ in ranked], rel=1e-4)
    assert found.labels.tolist() == [classes[number] for _, number in ranked]
    for mask, (_, number) in zip(found.masks, ranked, strict=True):
        assert torch.equal(mask, F.interpolate(softs[number][None, None], size=(SIZE, SIZE), mode="bilinear")[0, 0] > 0.5)
    monkeypatch.setattr("yolact.ops.masks._CHUNK_PIXELS", 3 * size[0] * size[1])
    (again,) = model.postprocess(raw, [(SIZE, SIZE)], inference)
    assert torch.equal(again.masks, found.masks) and torch.allclose(again.scores, found.scores)


@pytest.mark.parametrize(("pixels", "levels"), [(8, []), (9, [0, 1]), (17, [0, 1, 2]), (33, [0, 1, 2, 3, 4])])
def test_small_masks_are_dropped_by_level(pixels, levels):  # SOLO 5.3
    """A mask needs more pixels at stride 4 than the stride of its cell's level: 8, 8, 16, 32, 32."""
    model = tiny_model(TINY_SOLOV2).eval()
    features = torch.zeros(1, 16, 16, 16)
    features[0, 0] = -1
    features[0, 0].view(-1)[:pixels] = 1
    kernels = torch.zeros(1, model.starts[-1], 16)
    kernels[..., 0] = 5
    logits = torch.full((1, model.starts[-1], 3), -9.0)
    for level, start in enumerate(model.starts[:-1]):
        logits[0, start, 0] = level / 10
    inference = INFERENCE.replace(matrix=MatrixNMSConfig(sigma=1e-6))
    (found,) = model.postprocess(Raw(logits, kernels, (features,)), [(SIZE, SIZE)], inference)
    made = (logits[0, [model.starts[level] for level in levels], 0].sigmoid() * 0.9933).flip(0)
    assert found.scores.tolist() == pytest.approx(made.tolist(), abs=1e-4)


@ALL
def test_suppression_of_boxes_is_refused(config):
    model = tiny_model(config).eval()
    with pytest.raises(ConfigError, match=r"inference.suppression 'fast' compares boxes.*choose 'matrix' or 'greedy_mask'"):
        predict(model, [torch.zeros(3, 20, 20, dtype=torch.uint8)], InferenceConfig())


def test_configurations_at_odds():
    with pytest.raises(ConfigError, match=r"head.groups 32 does not divide head.width 40"):
        SoloConfig.from_data({"kind": "solo", "head": {"width": 40}})
    with pytest.raises(ConfigError, match=r"mask_features.groups 32 does not divide mask_features.features 8"):
        Solov2Config.from_data({"kind": "solov2", "mask_features": {"features": 8}})
    with pytest.raises(ConfigError, match=r"grids"):
        SoloConfig.from_data({"kind": "solo", "matching": {"grids": [40, 36, 24, 16]}})
