"""CenterNet. Numbers in comments are those of the fact sheet on box detectors, section 3."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_boxes
from tests.support.networks import SIZE, TINY_CENTERNET, predict, random_batch, target, tiny_model
from yolact.config import (
    BackboneConfig,
    CenterMatchingConfig,
    CenterNetConfig,
    InferenceConfig,
    PrototypeConfig,
    UpsamplerConfig,
)
from yolact.config.base import ConfigError
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.models.one_stage.dense_head import Assignment, Dense
from yolact.models.one_stage.heads.centernet_targets import gaussian_radius, heat_map

INFERENCE = InferenceConfig(**CenterNetConfig.inference_defaults)
SIDE = SIZE // 4


def test_published_numbers():  # 2: ResDCN-18
    with torch.device("meta"):
        model = build_model(CenterNetConfig(), 80, pretrained=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == 14_437_349
    assert model.head.locations.shape == (128 * 128, 4)
    kinds = [type(layer).__name__ for layer in model.fpn.layers]
    assert kinds == ["DeformableConv2d", "BatchNorm2d", "ReLU", "ConvTranspose2d", "BatchNorm2d", "ReLU"] * 3
    assert model.fpn.layers[0].conv_offset_mask.out_channels == 27


def test_initial_weights():  # 1, 2
    model = tiny_model(TINY_CENTERNET.replace(neck=UpsamplerConfig(widths=(16, 16, 16))))
    made = model.head
    assert made.classification.bias.tolist() == pytest.approx([-2.19] * 3)
    for conv in (made.offset, made.size, made.offset_tower[0], made.size_tower[0]):
        assert 0 < conv.weight.std() < 0.002 and not conv.bias.any()
    assert made.class_tower[0].weight.std() > 0.01
    up = model.fpn.layers[3].weight
    line = torch.tensor([0.25, 0.75, 0.75, 0.25])
    assert all(torch.equal(up[c, 0], line[:, None] * line) for c in range(16)) and not torch.equal(up[0, 1], up[0, 0])
    assert not model.fpn.layers[0].conv_offset_mask.weight.any()


@pytest.mark.parametrize(
    ("size", "overlap", "official", "radius"),
    [
        ((10, 10), 0.7, True, 2.733),
        ((10, 10), 0.7, False, 0.817),
        ((10, 10), 0.3, False, 2.261),
        ((20, 30), 0.7, True, 6.58),
        ((20, 30), 0.7, False, 1.95),
        ((20, 30), 0.3, False, 5.34),
    ],
)
def test_radii(size, overlap, official, radius):  # 4
    (found,) = gaussian_radius(torch.tensor([size], dtype=torch.float32), overlap, official)
    assert found.item() == pytest.approx(radius, abs=0.006)
    slow = slow_boxes.radii(*size, overlap, official)
    assert found.item() == pytest.approx(min(slow), rel=1e-5)
    if official:
        assert min(slow) == slow[2]  # so the third always wins


def test_heat_by_distance():  # 4: r = 2
    (heat,) = heat_map(torch.tensor([[5, 6]]), torch.tensor([0]), torch.tensor([2]), 1, 16)
    expected = {0: 1.0, 1: 0.4868, 2: 0.2369, 4: 0.0561, 5: 0.0273, 8: 0.0032}
    for y in range(16):
        for x in range(16):
            distance = (x - 5) ** 2 + (y - 6) ** 2
            inside = max(abs(x - 5), abs(y - 6)) <= 2
            assert heat[y, x].item() == pytest.approx(expected[distance] if inside else 0, abs=5e-5)


@pytest.mark.parametrize(("p", "y", "loss"), [(0.5, 1, 0.17329), (0.5, 0.8, 2.77e-4), (0.1, 0, 1.0536e-3), (1e-9, 1, 9.2084)])
def test_heat_loss_of_a_cell(p, y, loss):  # 5; the last one is clamped to 1e-4
    made = tiny_model(TINY_CENTERNET).head
    found = made._heat_loss(torch.logit(torch.tensor([p], dtype=torch.float64)), torch.tensor([float(y)])).item()
    assert found == pytest.approx(loss, rel=2e-3) == pytest.approx(slow_boxes.heat_loss(p, y), rel=2e-3)


def assigned(made, targets):
    assignment = Assignment.of(targets, made.assign(targets), SIZE)
    assignment.counts.update(made.counts(assignment))
    return assignment


@pytest.mark.parametrize("official", [True, False])
@pytest.mark.parametrize("seed", range(2))
def test_the_loss_is_that_of_the_slow_path(seed, official):  # 3 to 5
    model = tiny_model(TINY_CENTERNET.replace(matching=CenterMatchingConfig(official_radius=official))).eval()
    images, targets = random_batch(seed, images=2, n=4, crowds=1)
    twice = [[4, 4, 60, 60], [8, 8, 56, 57], [0, 40, 64, 64]]  # two centres in a cell; a box to the border is cut there
    targets[1] = target(twice, [1, 1, 0])
    assignment = model.assign(targets)
    raw = model(images)
    terms = model.criterion(raw, assignment)
    heat = offset = size = centres = objects = 0
    for index, truth in enumerate(targets):
        boxes = [
            (*(box / 4).tolist(), int(label))
            for box, label, crowd in zip(truth.boxes, truth.labels, truth.crowd, strict=True)
            if not crowd
        ]
        maps, entries = slow_boxes.heat(boxes, 3, SIDE, official=official)
        made = raw.dense.logits[index].double().sigmoid().T.reshape(3, SIDE, SIDE).tolist()
        box = raw.dense.box[index].double().reshape(SIDE, SIDE, 4).tolist()
        heat += sum(
            slow_boxes.heat_loss(made[c][y][x], maps[c][y][x]) for c in range(3) for y in range(SIDE) for x in range(SIDE)
        )
        centres += sum(value == 1 for each in maps for line in each for value in line)
        objects += len(entries)
        for row, column, sides, shift in entries:
            own = box[row][column]
            offset += sum(abs(a - b) for a, b in zip(own[:2], shift, strict=True))
            size += sum(abs(a - b) for a, b in zip(own[2:], sides, strict=True))
    assert (objects, centres) == (7, 6)
    assert assignment.counts == {"positives": 6, "images": 2, "objects": 7, "centres": 6}
    expected = {"heat": heat / centres, "offset": offset / (2 * objects + 1e-4), "size": 0.1 * size / (2 * objects + 1e-4)}
    assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31))
def test_ideal_maps_decode_to_the_objects(seed):  # section 5
    model = tiny_model(TINY_CENTERNET).eval()
    _, (truth,) = random_batch(seed, images=1, n=1)
    truth = target(truth.boxes.clamp(max=SIZE - 4.0), truth.labels)
    assignment = model.assign([truth])
    centres = model.head._centres(assignment.boxes, assignment.owner)
    heat = model.head.heat(centres, assignment, (1, SIDE**2, 3))
    box = torch.zeros(1, SIDE**2, 4)
    box[0, centres.location(SIDE)] = torch.cat([centres.centre - centres.cell, centres.size], dim=1)
    raw = model(torch.zeros(1, 3, SIZE, SIZE), True)
    ideal = raw._replace(dense=Dense(box, torch.logit(heat.clamp(1e-6, 1 - 1e-6)), box[..., :0], None))
    (found,) = model.postprocess(ideal, [(SIZE, SIZE)], INFERENCE.replace(score_threshold=0.5))
    assert found.labels.tolist() == truth.labels.tolist()
    torch.testing.assert_close(found.boxes, truth.boxes, atol=1e-4, rtol=1e-5)


def test_peaks_survive_and_equal_neighbours_too():  # 6 [Q]
    made = tiny_model(TINY_CENTERNET).head
    heat = torch.full((SIDE, SIDE), 0.1)
    heat[4, 4], heat[4, 5], heat[4, 6] = 0.9, 0.8, 0.7
    heat[9, 9] = heat[9, 10] = 0.6
    logits = torch.logit(heat).reshape(1, -1, 1)
    kept = made.scores(logits, None).reshape(SIDE, SIDE)
    assert kept[4, 4:7].tolist() == pytest.approx([0.9, 0, 0])
    assert kept[9, 9:11].tolist() == pytest.approx([0.6, 0.6])
    assert torch.equal(made.scores(logits.expand(1, -1, 2), None)[..., 1], made.scores(logits, None)[..., 0])


def test_without_suppression_boxes_that_overlap_stay():
    model = tiny_model(TINY_CENTERNET).eval()
    (found,) = predict(model, [torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8)], INFERENCE)
    raw = model.head.scores(torch.rand(SIDE**2, 3), None)
    kept = model.suppressed(torch.rand(SIDE**2, 4), raw, lambda at: raw[at, :0], INFERENCE)
    assert len(kept.scores) == min(100, int((raw > 0).sum()))
    assert torch.equal(kept.scores, raw.flatten().sort(descending=True).values[: len(kept.scores)])
    assert found.masks is None and (found.scores.diff() <= 0).all() and len(found) <= 100
    assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([56, 40, 56, 40])).all()


def test_four_pixels_move_a_peak_by_a_cell():  # section 5
    made = tiny_model(TINY_CENTERNET).head
    cells = [assigned(made, [target([[8 + 4 * step, 8, 30 + 4 * step, 33]])]).location.item() for step in range(3)]
    assert [b - a for a, b in pairwise(cells)] == [1, 1]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_a_split_batch_has_the_same_loss(seed):
    model = tiny_model(TINY_CENTERNET).eval()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    assert set(whole) == {"heat", "offset", "size"}
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_without_objects_heat_alone_is_learned():  # 5: undivided
    model = tiny_model(TINY_CENTERNET)
    images, targets = random_batch(0, n=0)
    raw = model(images)
    terms = model.criterion(raw, model.assign(targets))
    sum(terms.values()).backward()
    p = raw.dense.logits.sigmoid()
    torch.testing.assert_close(terms["heat"], -(p**2 * (1 - p).log()).sum())
    assert terms["offset"] == 0 == terms["size"]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crowds_change_nothing():
    model = tiny_model(TINY_CENTERNET).eval()
    images, _ = random_batch(0, images=1)
    crowded, alone = target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 1], [False, True]), target([[8, 8, 30, 30]], [0])
    assert model.loss(images, model.assign([crowded])) == model.loss(images, model.assign([alone]))


def test_of_too_many_objects_the_first_are_learned():  # 3
    made = tiny_model(TINY_CENTERNET.replace(matching=CenterMatchingConfig(max_objects=2))).head
    corners = [[4, 4, 12, 12], [24, 24, 32, 32], [44, 44, 52, 52]]
    found = assigned(made, [target(corners), target(corners)])
    assert found.per_image == [2, 2] and found.objects.tolist() == [0, 1, 3, 4] and found.counts["objects"] == 4


@pytest.mark.parametrize("bad", ["box", "logits"])
def test_a_value_that_is_not_finite_shows(bad):
    model = tiny_model(TINY_CENTERNET).eval()
    images, targets = random_batch(0)
    raw = model(images)
    spoilt = getattr(raw.dense, bad).clone()
    spoilt[0, -1] = torch.inf
    terms = model.criterion(raw._replace(dense=raw.dense._replace(**{bad: spoilt})), model.assign(targets))
    assert not torch.isfinite(sum(terms.values()))


def test_masks_do_not_fit():
    with pytest.raises(ConfigError, match=r"mask_branch 'prototypes' does not fit.*one map of stride 4"):
        CenterNetConfig().replace(mask_branch=PrototypeConfig())


def test_any_backbone():
    for name in ("resnet_tiny", "mobilenet_v2"):
        model = tiny_model(TINY_CENTERNET.replace(backbone=BackboneConfig(name=name, weights=None, width=16)))
        assert model(random_batch(0)[0]).dense.logits.shape == (2, SIDE**2, 3)
