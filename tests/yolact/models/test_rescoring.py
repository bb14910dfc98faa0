"""Fast mask re-scoring. Numbers in comments are those of the fact sheet on YOLACT++."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_masks, slow_rescoring
from tests.support.networks import SIZE, TINY_PLUS, loss, predict, random_batch, target, tiny_model
from tests.support.oracles import truth_of
from yolact.config import InferenceConfig, NoiseConfig, OracleConfig, PrototypeConfig, RescoringConfig, YolactConfig
from yolact.config.base import ConfigError
from yolact.config.interventions import KeepConfig
from yolact.interventions import prepare
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.models.base import total_counts
from yolact.models.checkpoint import load_weights
from yolact.models.masks.rescoring import MaskIoUNet, binary_ious

LOW = InferenceConfig(score_threshold=0.05, max_detections=6)
CLASSES = 3


def net(channels=(4, 6), classes=CLASSES, seed=0, **fields):
    torch.manual_seed(seed)
    made = MaskIoUNet(RescoringConfig(channels=channels, **fields), classes)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def layers(made):
    return [(m.weight.detach().double().numpy(), m.bias.detach().double().numpy()) for m in (*made.convs, made.output)]


def always(model, value):
    """The model, whose masks all have this predicted IoU."""
    rescoring = model.branch.rescoring if hasattr(model, "branch") else model
    with torch.no_grad():
        rescoring.output.weight.zero_()
        rescoring.output.bias.fill_(value)
    return model


def square(side, x, y, size, count=1):
    masks = torch.zeros(count, size, size)
    masks[:, y : y + side, x : x + side] = 1
    return masks


def test_the_published_network():  # 18
    made = MaskIoUNet(RescoringConfig(), 80)
    assert sum(parameter.numel() for parameter in made.parameters()) == 108_560
    x, sides = torch.zeros(1, 1, 138, 138), []
    for conv in made.convs:
        x = conv(x)
        sides.append(x.shape[-1])
    assert sides == [68, 33, 16, 7, 3]
    assert made(torch.zeros(2, 138, 138)).shape == (2, 80)


@pytest.mark.parametrize(("side", "fits"), [(138, True), (100, True), (176, True), (63, True), (62, False), (32, False)])
def test_the_smallest_map_it_works_on(side, fits):  # 18
    assert RescoringConfig().fits(side) == fits
    if fits:
        assert torch.isfinite(MaskIoUNet(RescoringConfig(), 2)(torch.rand(1, side, side))).all()


def test_prototypes_too_small_for_it_are_refused():  # 18
    branch = PrototypeConfig(rescoring=RescoringConfig())
    with pytest.raises(ConfigError, match="lists 5 convolutions of stride 2, more than masks of 32 x 32") as error:
        YolactConfig(image_size=550).replace(image_size=128, mask_branch=branch)
    assert "mask_branch.rescoring.channels" in error.value.fields
    YolactConfig(image_size=128, mask_branch=branch.replace(rescoring=RescoringConfig(channels=(8, 16, 32, 64))))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.integers(7, 12), st.integers(7, 12))
def test_as_the_slow_path(seed, height, width):
    made = net(seed=seed)
    masks = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed))
    expected = np.stack([slow_rescoring.ious(mask.double().numpy(), layers(made)) for mask in masks])
    np.testing.assert_allclose(made(masks).detach(), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([0, 10, 40]))
def test_loss_as_the_slow_path(seed, smallest_area):  # 20, 21, 22
    made = net(seed=seed, smallest_area=smallest_area)
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(5, 9, 9, generator=generator)
    share = torch.rand(5, 1, 1, generator=generator)
    truth = (torch.rand(5, 9, 9, generator=generator) < share).float()
    truth[:, 0, 0] = 1
    labels = torch.randint(0, CLASSES, (5,), generator=generator)
    expected, entered = slow_rescoring.loss(masks.double().numpy(), truth.numpy(), labels.tolist(), layers(made), smallest_area)
    assert made.loss(masks, truth, labels).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert made.learns_from(truth).sum() == entered


def test_the_worked_object():  # 38
    masks, truth = square(6, 2, 2, 16), square(6, 4, 2, 16)
    assert binary_ious(masks, truth).tolist() == [24 / 48]
    made = always(net(channels=(4,)), 0.8)
    assert made.loss(masks, truth, torch.tensor([1])).item() == pytest.approx(0.045 * 25)  # 1.125; 0.375 over N = 3


def test_two_empty_masks_have_an_iou_of_zero():  # 21: NaN in the official code
    assert binary_ious(torch.zeros(1, 4, 4), torch.zeros(1, 4, 4)).tolist() == [0]


@pytest.mark.parametrize(("pixels", "enters"), [(25, False), (26, True)])
def test_the_area_rule(pixels, enters):  # 39
    truth = torch.zeros(1, 12, 12)
    truth.view(-1)[:pixels] = 1
    made = always(net(channels=(4,)), 0.8)
    assert (made.loss(torch.rand(1, 12, 12), truth, torch.tensor([0])).item() > 0) == enters


def test_objects_too_small_leave_the_rest_of_the_loss_alone():  # 39
    images, targets = random_batch(0)
    terms = {}
    for area in (4, SIZE**2):
        rescoring = TINY_PLUS.mask_branch.rescoring.replace(smallest_area=area)
        model = tiny_model(TINY_PLUS.replace(mask_branch=TINY_PLUS.mask_branch.replace(rescoring=rescoring)))
        terms[area] = loss(model, images, targets)
    assert terms[4].pop("mask_iou") > 0
    last = terms[SIZE**2].pop("mask_iou")
    assert last.item() == 0 and last.requires_grad
    assert all(torch.equal(value, terms[4][name]) for name, value in terms[SIZE**2].items())


def test_without_objects_the_term_is_zero():
    images, _ = random_batch(0)
    terms = loss(tiny_model(TINY_PLUS), images, [target([]), target([])])
    assert terms["mask_iou"].item() == 0
    sum(terms.values()).backward()


def test_only_the_objects_class_learns_and_masks_learn_too():  # 22, 23
    made = net(channels=(4,))
    masks = square(6, 2, 2, 16).mul_(0.7).requires_grad_(True)
    made.loss(masks, square(6, 4, 2, 16), torch.tensor([1])).backward()
    assert made.output.bias.grad[[0, 2]].tolist() == [0, 0] and made.output.bias.grad[1] != 0
    assert masks.grad.abs().sum() > 0


@pytest.mark.parametrize("normalisation", ["positives", "mean"])
@pytest.mark.parametrize("cap", [2, 100])
def test_the_divisor(normalisation, cap):  # 20, 22
    """All positives, or the masks that enter: those of large objects, at most `cap` an image."""
    rescoring = TINY_PLUS.mask_branch.rescoring.replace(normalisation=normalisation, smallest_area=30)
    config = TINY_PLUS.replace(mask_branch=TINY_PLUS.mask_branch.replace(rescoring=rescoring, max_masks_per_image=cap))
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 255
    targets = [target([(4, 4, 50, 54), (40, 40, 56, 56)], [0, 1], image_id=0), target([(20, 10, 44, 60)], [2], image_id=1)]
    model = always(tiny_model(config), 0.0)  # each mask that enters costs 25 * IoU^2 / 2
    seen = []
    plain = type(model.branch.rescoring).loss
    model.branch.rescoring.loss = lambda masks, truth, labels: (
        seen.append((masks, truth)) or plain(model.branch.rescoring, masks, truth, labels)
    )
    made, counts = loss(model, images, targets)["mask_iou"], model.assign(targets).counts
    (masks, truth), = seen  # fmt: skip
    assert len(masks) == (4 if cap == 2 else counts["positives"])
    large = truth.sum((1, 2)) > 30
    assert 0 < large.sum() < len(large)
    total = sum(
        12.5 * slow_rescoring.binary_iou(m.detach().numpy(), t.numpy()) ** 2
        for m, t in zip(masks[large], truth[large], strict=True)
    )
    divisor = counts["positives"] if normalisation == "positives" else int(large.sum())
    assert made.item() == pytest.approx(total / divisor, rel=1e-4)
    assert ("mask_ious" in counts) == (normalisation == "mean")


@pytest.mark.parametrize("normalisation", ["positives", "mean"])
def test_parts_of_a_batch_sum_to_the_whole(normalisation):  # 41
    rescoring = TINY_PLUS.mask_branch.rescoring.replace(normalisation=normalisation, smallest_area=30)
    model = lively(config=TINY_PLUS.replace(mask_branch=TINY_PLUS.mask_branch.replace(rescoring=rescoring)))
    images, targets = random_batch(3, images=3)
    whole = loss(model, images, targets)["mask_iou"]
    counts = total_counts(model.assign([one]).counts for one in targets)
    assert counts == model.assign(targets).counts and whole > 0
    parts = [loss(model, images[i : i + 1], targets[i : i + 1], counts)["mask_iou"] for i in range(3)]
    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-6)


def lively(seed=0, config=TINY_PLUS):
    """A network whose masks and scores vary."""
    model = tiny_model(config, seed=seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn_like(parameter) * (0.3 if "mask" in name else 0.05))
        for conv in (*model.branch.rescoring.convs, model.branch.rescoring.output):
            conv.weight.abs_().mul_(0.5)  # no ReLU is dead
    return model.eval()


def picture(seed=1):
    return torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def slow_scores(model, found, crop=True):
    """Class score times the slow path's IoU of the slow path's masks."""
    scores = []
    for i in range(len(found)):
        maps, row = found.prototypes.double().numpy(), found.coefficients[i].double().numpy()
        soft = 1 / (1 + np.exp(-np.tensordot(row, maps, 1)))
        box = (found.boxes[i] / torch.tensor([70.0, 50, 70, 50])).numpy()
        soft = np.where(slow_masks.inside(box, *soft.shape), soft, 0) if crop else soft
        q = slow_rescoring.ious(soft, layers(model.branch.rescoring))[found.labels[i]]
        scores.append(found.scores[i].item() * q)
    return scores


@pytest.mark.parametrize("crop", [True, False])
def test_mask_scores_as_the_slow_path(crop):  # 24
    model, inference = lively(), LOW.replace(crop=crop)
    (found,) = predict(model, [picture()], inference)
    assert len(found) > 2 and found.mask_scores.std() > 0
    np.testing.assert_allclose(found.mask_scores, slow_scores(model, found, crop), rtol=1e-3, atol=1e-5)


def test_mask_score_and_box_score():  # 40: 0.8 and 0.5 give 0.4
    model = always(tiny_model(TINY_PLUS).eval(), 0.5)
    soft, labels = torch.rand(1, 16, 16), torch.tensor([1])
    assert model.branch.mask_scores(soft, labels, torch.tensor([0.8]), LOW).item() == pytest.approx(0.4)


def test_a_predicted_iou_of_one_changes_nothing_and_boxes_never_change():  # 40
    model = lively()
    (found,) = predict(model, [picture()], LOW)
    (off,) = predict(model, [picture()], LOW.replace(rescore_masks=False))
    (one,) = predict(always(model, 1.0), [picture()], LOW)
    assert off.mask_scores is None and torch.equal(one.mask_scores, one.scores)
    assert not torch.equal(found.mask_scores, found.scores)
    for name in ("boxes", "scores", "labels", "masks"):
        assert torch.equal(getattr(found, name), getattr(off, name)), name
        assert torch.equal(getattr(found, name), getattr(one, name)), name


def test_empty_masks_and_no_detections():  # 42
    made = net(channels=(4, 6))
    out = made(torch.zeros(3, 12, 12))
    assert torch.isfinite(out).all() and torch.equal(out[0], out[1]) and torch.equal(out[0], out[2])
    assert made(torch.zeros(0, 12, 12)).shape == (0, CLASSES)
    (found,) = predict(lively(), [picture()], LOW.replace(score_threshold=1.0))
    assert len(found) == 0 and found.mask_scores.shape == (0,)


def truth_for(found):
    """An object in each box, which leaves its right third free."""
    masks = torch.zeros_like(found.masks)
    for mask, (x1, y1, x2, y2) in zip(masks, found.boxes.round().int().tolist(), strict=True):
        mask[y1:y2, x1 : x1 + (x2 - x1) * 2 // 3] = True
    return truth_of(masks, found.boxes, found.labels.tolist())


INTERVENTIONS = [
    NoiseConfig(std=2.0),
    KeepConfig(m=2),
    OracleConfig(part="coefficients"),
    OracleConfig(part="boxes"),
    OracleConfig(part="classes"),
]


@pytest.mark.parametrize("config", INTERVENTIONS, ids=lambda config: getattr(config, "part", config.kind))
def test_masks_assembled_again_are_scored_again(config):
    model = lively()
    (found,) = predict(model, [picture()], LOW)
    moments = PrototypeMoments(4, CLASSES)
    moments.add(found)
    truth = truth_for(found)
    if getattr(config, "part", "") == "classes":
        truth = replace(truth, labels=(truth.labels + 1) % CLASSES)
    if getattr(config, "part", "") == "boxes":
        sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
        truth = replace(truth, boxes=torch.cat([truth.boxes[:, :2], truth.boxes[:, :2] + 0.8 * sides], 1))
    after = prepare(config, model, "cpu", lambda: moments)(found, truth, 3, LOW)
    assert not torch.equal(after.mask_scores, found.mask_scores)
    np.testing.assert_allclose(after.mask_scores.detach(), slow_scores(model, after), rtol=1e-3, atol=1e-5)
    off = LOW.replace(rescore_masks=False)
    bare = replace(found, mask_scores=None)
    assert prepare(config, model, "cpu", lambda: moments)(bare, truth, 3, off).mask_scores is None


def test_fine_tuning_leaves_its_classes_fresh(tmp_path):
    torch.save(tiny_model(TINY_PLUS, num_classes=5).state_dict(), tmp_path / "w.pt")
    fresh = load_weights(tiny_model(TINY_PLUS), tmp_path / "w.pt", fresh_classes=True)
    assert {"branch.rescoring.output.weight", "branch.rescoring.output.bias"} <= set(fresh)


def test_without_the_field_plain_data_are_as_before():
    assert "rescoring" not in PrototypeConfig().to_data() and "rescore_masks" not in InferenceConfig().to_data()
    assert YolactConfig.from_data(TINY_PLUS.to_data()) == TINY_PLUS
