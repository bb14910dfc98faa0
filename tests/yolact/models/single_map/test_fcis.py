"""FCIS. Numbers in comments are those of the fact sheet."""

import pytest
import torch

from tests.support.networks import SIZE, target
from tests.yolact.models.single_map.tiny import CELLS, TINY_FCIS, drawn, fcis
from yolact.config import BackboneConfig, FCISConfig, InferenceConfig
from yolact.config.base import ConfigError
from yolact.models.two_stage.per_image import learned
from yolact.models.two_stage.single_map import fcis as code
from yolact.models.two_stage.single_map.fcis import FCIS, Raw, class_and_mask, hardest, mask_losses

REGIONS = torch.tensor([[4.0, 4, 40, 40], [10, 20, 60, 50]])


def pooled(inside, outside):
    """One region of one bin, with background maps of 0."""
    return torch.tensor([0.0, 0, outside, inside]).reshape(1, 4, 1, 1)


@pytest.mark.parametrize(
    ("inside", "outside", "evidence", "mask"),
    [(3, 1, 3, 0.881), (1, 3, 3, 0.119), (-3, -5, -3, 0.881)],
)
def test_class_evidence_and_mask_of_a_bin(inside, outside, evidence, mask):  # 25
    classes, logits = class_and_mask(pooled(inside, outside), joint=True)
    assert classes[0, 1] == evidence
    assert logits[0, 1].sigmoid().item() == pytest.approx(mask, abs=5e-4)


def test_swapping_inside_and_outside_leaves_classes_and_inverts_masks():  # 27
    maps = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(0))
    swapped = maps.unflatten(1, (4, 2)).flip(2).flatten(1, 2)
    (classes, masks), (same, inverse) = class_and_mask(maps, joint=True), class_and_mask(swapped, joint=True)
    assert torch.equal(classes, same)
    torch.testing.assert_close(inverse.sigmoid(), 1 - masks.sigmoid())


def test_the_class_loss_reaches_the_larger_of_inside_and_outside_alone():  # 27
    maps = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    classes, _ = class_and_mask(maps, joint=True)
    torch.nn.functional.cross_entropy(classes, torch.tensor([1, 2])).backward()
    outside, inside = maps.detach().unflatten(1, (4, 2)).unbind(2)
    reached_outside, reached_inside = (maps.grad != 0).unflatten(1, (4, 2)).unbind(2)
    assert torch.equal(reached_inside, inside > outside) and torch.equal(reached_outside, outside > inside)


def test_the_mask_loss_has_no_gradient_to_the_maps_of_other_classes():  # 27
    maps = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    _, masks = class_and_mask(maps, joint=True)
    mask_losses(masks[torch.arange(2), [1, 3]], torch.ones(2, 3, 3)).sum().backward()
    reached = maps.grad.unflatten(1, (4, 2)).ne(0).flatten(2).all(dim=2)
    assert reached.tolist() == [[False, True, False, False], [False, False, False, True]]
    assert maps.grad.unflatten(1, (4, 2)).flatten(2).any(dim=2).tolist() == reached.tolist()


def test_separate_maps_leave_classes_to_maps_of_their_own():
    maps = torch.randn(2, 12, 3, 3, generator=torch.Generator().manual_seed(0))
    classes, masks = class_and_mask(maps, joint=False)
    torch.testing.assert_close(classes, maps[:, 8:].mean(dim=(2, 3)))
    assert torch.equal(masks, class_and_mask(maps[:, :8], joint=True)[1])


def test_channels_are_ordered_by_class_then_side_then_row_then_column():  # 12
    model = fcis(classes=1)
    scores = torch.zeros(1, 4, 3, 3, CELLS, CELLS)
    scores[:, 3, 1, 2] = 5.0  # class 1, inside, the middle row's last part
    raw = Raw(torch.zeros(1, 1), torch.zeros(1, 1, 4), scores.flatten(1, 3), torch.zeros(1, 72, CELLS, CELLS))
    found = model.read(raw, REGIONS).masks[0, 1]
    assert found.nonzero().tolist() == [[row, column] for row in (3, 4, 5) for column in (6, 7, 8)]
    assert found[3, 6] == 5


@pytest.mark.parametrize(
    ("joint", "maps"),
    [(True, 7 * 7 * 2 * 81), (False, 7 * 7 * 3 * 81)],
)
def test_the_published_network_has_the_sheets_maps(joint, maps):  # 12
    with torch.device("meta"):
        model = FCIS(FCISConfig(backbone=BackboneConfig(weights=None), joint=joint), 80)
    assert model.scores.out_channels == maps and (maps == 7938 or not joint)
    assert model.boxes.out_channels == 392
    assert model.reduce.weight.shape == (1024, 2048, 1, 1)
    assert model.rpn.head.conv[0].weight.shape == (512, 1024, 3, 3)
    assert (model.rpn.head.cls_logits.out_channels, model.rpn.head.bbox_pred.out_channels) == (12, 48)
    heads = sum(weight.numel() for name, weight in model.named_parameters() if not name.startswith("backbone."))
    rpn = 512 * (1024 * 9 + 1) + 60 * 513
    assert heads == rpn + 1024 * 2049 + (maps + 392) * 1025


def test_bins_that_the_group_does_not_divide_are_refused():
    with pytest.raises(ConfigError, match="bins 21 is no multiple of group 4") as refused:
        FCISConfig(group=7).replace(group=4)
    assert refused.value.fields == ("bins", "group")


def truth(boxes=((8, 8, 40, 40), (20, 30, 60, 60)), labels=(1, 2)):
    return learned(target(boxes, labels))


def terms(model, raw, proposals=REGIONS, known=None):
    return model.stage_losses(raw, proposals, truth() if known is None else known, 1)


def test_the_hardest_are_kept_and_all_where_there_are_no_more():  # 29
    losses = torch.tensor([0.1, 3.0, 0.5, 2.0], requires_grad=True)
    assert hardest(losses, 2).tolist() == [1, 3]
    assert sorted(hardest(losses, 128).tolist()) == [0, 1, 2, 3]


def test_the_divisor_of_masks_and_boxes_is_fixed():  # 29: four regions of 128
    model = fcis(regions_per_image=128)
    raw = drawn(model, scale=30)
    found = terms(model, raw)
    regions = torch.cat([REGIONS, truth()["boxes"]])
    read = model.read(raw, regions)
    classes = torch.nn.functional.cross_entropy(read.classes, torch.tensor([2, 0, 2, 3]))
    half = terms(fcis(regions_per_image=64), raw)
    assert half["mask"].item() == pytest.approx(2 * found["mask"].item())
    assert half["box"].item() == pytest.approx(2 * found["box"].item())
    assert half["class"].item() == pytest.approx(found["class"].item()) == pytest.approx(classes.item())


def test_regions_are_ranked_by_all_three_losses_and_the_easy_ones_learn_nothing():  # 15
    model = fcis(regions_per_image=1)
    raw = drawn(model, scale=30)
    each = fcis(regions_per_image=128)
    regions = torch.cat([REGIONS, truth()["boxes"]])
    alone = []
    for region in regions:
        parts = each.stage_losses(raw, region[None], truth(), 1)  # with the objects' own boxes, always the same
        alone.append(parts["class"] * 3 + (parts["mask"] + parts["box"]) * 128)
    hard = int(torch.stack(alone).argmax())
    found = sum(terms(model, raw).values())
    common = alone[hard] - _objects_alone(each, raw)
    assert found.item() == pytest.approx(common.item(), rel=1e-4)


def test_a_bad_mask_makes_a_region_harder_than_a_wrong_class_does():  # 15
    model = fcis(regions_per_image=1, mask_weight=1e4)
    raw = drawn(model)
    scores = raw.scores.detach().clone()
    scores[:, :18] = -30.0  # so sure of an object that the region of background has by far the largest class loss
    assert terms(model, raw._replace(scores=scores))["mask"] > 0
    assert terms(fcis(regions_per_image=1, mask_weight=0.0), raw._replace(scores=scores))["class"] > 20


def _objects_alone(model, raw):
    parts = model.stage_losses(raw, torch.zeros(0, 4), truth(), 1)
    return parts["class"] * 2 + (parts["mask"] + parts["box"]) * 128


def test_the_mask_weight_multiplies_the_mask_loss():  # 17
    raw = drawn(fcis(), scale=30)
    by_ten, by_one = (terms(fcis(mask_weight=weight), raw)["mask"].item() for weight in (10.0, 1.0))
    assert by_ten == pytest.approx(10 * by_one)


def test_without_ohem_a_quarter_is_positive_and_background_touches_an_object():  # 15
    model = fcis(ohem=False)
    overlap = torch.tensor([0.9] * 20 + [0.2] * 30 + [0.05] * 50)
    classes = (overlap >= 0.5).long()
    torch.manual_seed(0)
    drawn_ = model._drawn(overlap, classes)
    assert len(drawn_) == len(drawn_.unique()) == 16
    assert (drawn_ < 20).sum() == 4 and (drawn_ < 50).all()


def test_masks_and_boxes_learn_from_positives_alone():  # 16, 17
    model = fcis()
    raw = drawn(model, scale=30)
    found = terms(model, raw, known=learned(target(())))
    assert found["mask"] == found["box"] == 0 and found["class"] > 0


def test_a_second_pass_adds_regions_where_the_first_ones_are_moved_to():  # 19
    model = fcis()
    raw = drawn(model, scale=30)
    with torch.no_grad():
        once = model.regions(raw, REGIONS, InferenceConfig(region_passes=1))
        twice = model.regions(raw, REGIONS, InferenceConfig())
        offsets = model.read(raw, REGIONS).offsets
    assert (len(once.boxes), len(twice.boxes)) == (2, 4)
    assert torch.equal(twice.boxes[:2], REGIONS) and torch.equal(twice.masks[:2], once.masks)
    moved = model.box_coder.decode_single(offsets, REGIONS).clamp(0, SIZE)
    torch.testing.assert_close(twice.boxes[2:], moved)
    assert not torch.equal(moved, REGIONS)
    assert twice.scores.shape == (4, 3) and (twice.scores.sum(dim=1) < 1).all()


def test_a_regions_mask_is_that_of_its_best_foreground_class():  # 14, 20
    model = fcis()
    raw = drawn(model, scale=300)
    with torch.no_grad():
        found, read = model.regions(raw, REGIONS, InferenceConfig(region_passes=1)), model.read(raw, REGIONS)
    best = read.classes[:, 1:].argmax(dim=1) + 1
    torch.testing.assert_close(found.masks, read.masks[[0, 1], best].sigmoid())


def test_offsets_are_in_units_of_a_fifth_and_a_half():  # 16
    coder = fcis().box_coder
    region, wanted = torch.tensor([[10.0, 10, 30, 50]]), torch.tensor([[14.0, 10, 34, 50]])
    assert coder.encode_single(wanted, region)[0].tolist() == pytest.approx([1.0, 0, 0, 0])  # 4 / 20 / .2
    larger = torch.tensor([[0.0, 10, 40, 50]])
    assert coder.encode_single(larger, region)[0, 2].item() == pytest.approx(2 * 0.693147, rel=1e-5)


def test_one_part_per_region_cannot_tell_left_from_right():
    """With a group of 1 a region reads one map: neighbouring objects of a class look alike wherever they meet."""
    model = fcis(group=1)
    assert model.scores.out_channels == 2 * 4 and model.boxes.out_channels == 8
    raw = drawn(model, scale=30)
    constant = raw._replace(scores=raw.scores.mean(dim=(2, 3), keepdim=True).expand_as(raw.scores))
    masks = model.read(constant, REGIONS).masks
    torch.testing.assert_close(masks, masks[..., :1, :1].expand_as(masks))


def test_the_defaults_are_the_authors():
    assert (TINY_FCIS.mask_weight, code._POSITIVE_SHARE) == (10.0, 0.25)
    config = FCISConfig()
    assert (config.group, config.bins, config.regions_per_image, config.proposals.count) == (7, 21, 128, 300)
    assert config.proposals.anchor_sizes == (64, 128, 256, 512) and config.proposals.before_nms == 6000
