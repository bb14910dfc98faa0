"""MNC. Numbers in comments are those of the fact sheet."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead

from tests.support.networks import SIZE, target
from tests.yolact.models.single_map.tiny import drawn, mnc
from yolact.config import BackboneConfig, InferenceConfig, MNCConfig
from yolact.config.base import ConfigError
from yolact.models.two_stage.per_image import learned
from yolact.models.two_stage.single_map.mnc import MNC, _drawn, mask_overlap
from yolact.models.two_stage.single_map.truth import Matches, mask_targets, match

REGIONS = torch.tensor([[9.0, 8, 40, 41], [20, 31, 60, 58], [2, 40, 20, 60]])
TRUTH = learned(target([[8, 8, 40, 40], [20, 30, 60, 60]], labels=[1, 2]))


def spread(model):
    """Weights large enough that every output differs from every other."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    return model


def set_masks(model, logit):
    """All cells of every mask at one logit, which still depends on the weights."""
    with torch.no_grad():
        model.head.mask[2].weight.zero_()
        model.head.mask[2].bias.fill_(logit)


def test_a_full_mask_leaves_the_region_and_an_empty_one_leaves_nothing():  # 43
    model = spread(mnc())
    warped = torch.randn(3, 8, 6, 6, generator=torch.Generator().manual_seed(0))
    full, empty = (model.head.masked(warped, torch.full((3, 7, 7), value)) for value in (1.0, 0.0))
    torch.testing.assert_close(full, F.max_pool2d(warped, 2))
    assert empty.eq(0).all()
    verdict = model.head(warped, torch.zeros(3, 7, 7))
    assert all(part.isfinite().all() for part in verdict)


@pytest.mark.parametrize(("columns", "expected"), [(49, 0.49), (50, 0.50), (100, 1.0)])
def test_the_overlap_of_masks(columns, expected):
    """A square of 100 x 100 whose predicted mask covers some of its columns."""
    whole = torch.zeros(1, 120, 120, dtype=torch.uint8)
    whole[0, 10:110, 10:110] = 1
    predicted = torch.zeros(1, 100, 100)
    predicted[:, :, :columns] = 1
    assert mask_overlap(predicted, torch.tensor([[10.0, 10, 110, 110]]), whole).item() == pytest.approx(expected)


@pytest.mark.parametrize(("rows", "label"), [(9, 0), (10, 2), (20, 2)])
def test_the_class_of_a_mask_is_background_below_half_although_the_box_overlaps(monkeypatch, rows, label):  # 44
    model = mnc()
    box = torch.tensor([[10.0, 10, 30, 30]])
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
    mask[0, 10:30, 10:30] = 1
    known = {"boxes": box, "labels": torch.tensor([2]), "masks": mask}
    logits = torch.full((1, 20, 20), -20.0)
    logits[:, :rows] = 20.0  # 9 rows of 20: IoU .45
    model.config = model.config.replace(mask_side=20)
    monkeypatch.setattr(model.head, "mask_logits", lambda warped: logits)
    seen = []
    monkeypatch.setattr(F, "cross_entropy", lambda given, wanted, **_: seen.append(wanted.tolist()) or given.sum() * 0)
    model._stage_losses(drawn(model), box, match(known, box), known)
    assert seen == [[2], [label]]


def test_matches_and_the_masks_inside_boxes():  # 35, 36
    found = match(TRUTH, REGIONS)
    assert found.classes.tolist() == [2, 3, 0] and found.objects[:2].tolist() == [0, 1]
    square = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
    square[0, 10:20, 10:20] = 1
    known = {"boxes": torch.tensor([[10.0, 10, 20, 20]]), "labels": torch.tensor([1]), "masks": square}
    boxes = torch.tensor([[10.0, 10, 20, 20], [10, 10, 30, 20], [0, 0, 5, 5]])
    masks = mask_targets(known, torch.zeros(3, dtype=torch.int64), boxes, 4)
    assert masks[0].eq(1).all() and masks[2].eq(0).all()
    assert masks[1].tolist() == [[1, 1, 0, 0]] * 4
    assert mask_targets(known, torch.zeros(0, dtype=torch.int64), boxes[:0], 4).shape == (0, 4, 4)


def test_the_draw_is_a_third_positive_and_most_background_near():  # 35
    overlap = torch.tensor([0.9] * 40 + [0.2] * 80 + [0.0] * 80)
    classes = (overlap >= 0.5).long()
    torch.manual_seed(0)
    drawn_ = _drawn(Matches(overlap, torch.zeros(200, dtype=torch.int64), classes), 64)
    positive, near = int((drawn_ < 40).sum()), int(((drawn_ >= 40) & (drawn_ < 120)).sum())
    assert (len(drawn_), positive, near) == (64, 19, 38)  # 30 % of 64; 85 % of the other 45
    assert len(drawn_.unique()) == 64


def test_the_second_pass_has_the_same_weights():  # 34
    assert {name.split(".")[0] for name, _ in mnc().named_parameters()} == {
        name.split(".")[0] for name, _ in mnc(stages=3).named_parameters()
    }
    assert sum(p.numel() for p in mnc().parameters()) == sum(p.numel() for p in mnc(stages=3).parameters())


def test_with_no_offsets_both_passes_say_the_same():  # 44
    model = spread(mnc()).eval()
    with torch.no_grad():
        model.head.offsets.weight.zero_()
        model.head.offsets.bias.zero_()
        found = model.regions(drawn(model, scale=10), REGIONS, InferenceConfig())
    for part in found:
        torch.testing.assert_close(part[:3], part[3:])
    once = spread(mnc(stages=3)).eval()
    assert len(once.regions(drawn(model), REGIONS, InferenceConfig()).boxes) == 3


def test_boxes_are_moved_by_the_best_foreground_class():  # 34
    model = spread(mnc()).eval()
    raw = drawn(model, scale=10)
    with torch.no_grad():
        warped = model._warped(raw, REGIONS)
        verdict = model.head(warped, model.head.mask_logits(warped).sigmoid())
        best = verdict.mask_classes[:, 1:].argmax(dim=1) + 1
        moved = model.box_coder.decode_single(verdict.offsets[torch.arange(3), best], REGIONS).clamp(0, SIZE)
        found = model.regions(raw, REGIONS, InferenceConfig())
    torch.testing.assert_close(found.boxes[3:], moved)
    torch.testing.assert_close(found.scores[:3], verdict.mask_classes.softmax(dim=1)[:, 1:])


@pytest.mark.parametrize(("logit", "reached"), [(5.0, True), (-5.0, False)], ids=["masks that overlap", "empty masks"])
def test_the_class_loss_moves_the_weights_of_masks_that_found_their_object(logit, reached):  # 44
    model = spread(mnc(stages=3))
    set_masks(model, logit)
    terms = model.stage_losses(drawn(model, scale=10), REGIONS, TRUTH, 1)
    (terms["class"] + terms["mask_class"] + terms["box"]).backward()
    moved = model.head.mask[2].weight.grad
    assert (moved is not None and bool(moved.any())) is reached


@pytest.mark.parametrize(("passes", "reached"), [(True, True), (False, False)])
def test_later_losses_reach_the_proposals_unless_they_are_cut(passes, reached):  # 37
    model = spread(mnc(box_gradient=passes))
    raw = drawn(model, scale=10)
    shift = torch.zeros(3, 4, requires_grad=True)
    terms = model.stage_losses(raw, REGIONS + shift, TRUTH, 1)
    sum(terms.values()).backward()
    assert (shift.grad is not None and bool(shift.grad.any())) is reached


def test_the_second_passs_losses_reach_the_offsets_of_the_first():  # 37
    """Offsets of the best classes alone, where no first box loss is counted."""
    for passes in (True, False):
        model = spread(mnc(box_gradient=passes))
        raw = drawn(model, scale=10)
        terms = model.stage_losses(raw, REGIONS, TRUTH, 1)
        (gradient,) = torch.autograd.grad(terms["second_mask"], model.head.offsets.weight, allow_unused=True)
        assert (gradient is not None and bool(gradient.any())) is passes


@pytest.mark.parametrize("images", [1, 4])
def test_a_boxs_gradient_is_clipped_per_image(images):  # 37
    limit, sides = 0.02, (REGIONS[:, 2:] - REGIONS[:, :2]).repeat(1, 2)
    model, free = spread(mnc(largest_box_gradient=limit, stages=3)), spread(mnc(largest_box_gradient=None, stages=3))
    raw, found = drawn(model, scale=10), []
    for each in (model, free):
        shift = torch.zeros(3, 4, requires_grad=True)
        (sum(each.stage_losses(raw, REGIONS + shift, TRUTH, images).values()) / images).backward()
        found.append(shift.grad)
    clipped, whole = found
    most = limit / images / sides
    assert (whole.abs() > most).any() and (whole.abs() < most).any()
    torch.testing.assert_close(clipped, whole.clamp(-most, most))


def test_the_mask_weight_is_two():  # 35
    model = spread(mnc())
    raw = drawn(model, scale=10)
    twice, once = (each.stage_losses(raw, REGIONS, TRUTH, 1)["mask"].item() for each in (model, spread(mnc(mask_weight=1.0))))
    assert twice == pytest.approx(2 * once) and MNCConfig().mask_weight == 2


def test_the_heads_of_vgg_have_the_sheets_weights():  # 42
    with torch.device("meta"):
        branch = TwoMLPHead(512 * 7 * 7, 4096)
        model = MNC(MNCConfig(backbone=BackboneConfig(name="resnet50", weights=None)), 20)
    assert sum(weight.numel() for weight in branch.parameters()) == 119_545_856
    heads = sum(weight.numel() for name, weight in model.named_parameters() if name.startswith("head."))
    mask = 256 * (256 * 196 + 1) + 441 * 257
    branches = 2 * (1024 * (256 * 49 + 1) + 1024 * 1025)
    assert heads == mask + branches + 6 * 21 * 2049


def test_an_odd_number_of_cells_is_refused():
    with pytest.raises(ConfigError, match="pooled must be even, as classes read its cells pooled two by two, got 7"):
        MNCConfig().replace(pooled=7)


def test_with_one_sample_a_cell_is_its_centre():
    model = mnc(oversampling=1)
    raw = drawn(model)
    assert model._warped(raw, REGIONS).shape == mnc()._warped(raw, REGIONS).shape == (3, 8, 6, 6)
