"""Mask Scoring R-CNN around its head, which `test_mask_iou.py` tests. Numbers in comments are those of its fact sheet."""

import json

import pytest
import torch
from torch import nn

from tests.support.networks import SIZE, loss, predict, random_batch, target, tiny_model
from yolact.config import BackboneConfig, InferenceConfig, MaskRCNNConfig, MSRCNNConfig
from yolact.evaluation.coco import evaluate
from yolact.evaluation.results import to_records
from yolact.models.build import build_model

FIELDS = {
    "image_size": SIZE,
    "backbone": BackboneConfig(name="resnet_tiny", weights=None, width=4),
    "channels": 8,
    "representation": 16,
    "regions_per_image": 32,
    "anchor_sizes": (8, 16, 24, 32),
}
TINY = MSRCNNConfig(**FIELDS)
EASY = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=20, mask_threshold=0.3)


@pytest.fixture
def pair():
    """Mask Scoring R-CNN and the Mask R-CNN drawn from the same seed."""
    return tiny_model(TINY), tiny_model(MaskRCNNConfig(**FIELDS))


def pictures(count=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(0, 256, (3, 40, 56), generator=generator, dtype=torch.uint8) for _ in range(count)]


def answer(model, value):
    """Make the head predict this IoU for every mask."""
    nn.init.zeros_(model.detector.roi_heads.iou_head.output.weight)
    nn.init.constant_(model.detector.roi_heads.iou_head.output.bias, value)


def test_the_same_seed_draws_the_weights_of_mask_rcnn(pair):  # 27
    scored, plain = (model.state_dict() for model in pair)
    assert {name for name in scored if "iou_head" not in name} == set(plain)
    assert all(torch.equal(scored[name], plain[name]) for name in plain)


def test_number_of_weights():  # 28
    with torch.device("meta"):
        model = build_model(MSRCNNConfig(backbone=BackboneConfig(name="resnet50", weights=None)), num_classes=80)
        plain = build_model(MaskRCNNConfig(backbone=BackboneConfig(name="resnet50", weights=None)), num_classes=80)
    counts = [sum(weight.numel() for weight in each.parameters()) for each in (model, plain)]
    assert counts[0] - counts[1] == 16_341_329


def test_without_weight_the_head_leaves_losses_and_gradients_alone(pair):  # 34
    scored, plain = tiny_model(TINY.replace(mask_iou=0.0)).train(), pair[1].train()
    images, targets = random_batch(0)
    found, expected = loss(scored, images, targets), loss(plain, images, targets)
    assert list(found) == [*expected, "mask_iou"] and found["mask_iou"] == 0
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    sum(found.values()).backward()
    sum(expected.values()).backward()
    gradients = {name: weight.grad for name, weight in scored.named_parameters()}
    assert all(torch.equal(weight.grad, gradients[name]) for name, weight in plain.named_parameters())


def test_its_loss_trains_mask_head_and_features_but_no_box(pair):  # 12, 34
    model = pair[0].train()
    loss(model, *random_batch(0))["mask_iou"].backward()
    learned = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    for part in ("iou_head.convs.0", "mask_predictor.mask_fcn_logits", "mask_head.0", "fpn.layer_blocks.0", "backbone.body"):
        assert any(part in name for name in learned), part
    assert not any("box_" in name or "rpn" in name for name in learned)
    logits = model.get_parameter("detector.roi_heads.mask_predictor.mask_fcn_logits.bias").grad
    assert not logits[0] and logits[1:].any()  # of classes that objects have


def test_an_image_without_objects_adds_nothing(pair):  # 35
    images, targets = random_batch(0)
    empty = target((), image_id=1)
    model = pair[0].eval()
    alone = loss(model, images[:1], targets[:1])["mask_iou"]
    none = loss(model, images[1:], [empty])["mask_iou"]
    none.backward()
    assert none == 0
    assert loss(model, images, [targets[0], empty])["mask_iou"].item() == pytest.approx(alone.item() / 2, rel=1e-5)


def test_splitting_a_batch_changes_nothing(pair):  # 14
    images, targets = random_batch(0, images=3)
    model = pair[0].eval()
    whole = loss(model, images, targets)["mask_iou"].item()
    total = model.assign(targets).counts
    parts = [loss(model, images[s], targets[s], total)["mask_iou"].item() for s in (slice(0, 1), slice(1, 3))]
    assert 0 < whole == pytest.approx(sum(parts), rel=1e-5)


def test_mask_scores_are_class_score_times_predicted_iou(pair):  # 16, 33
    answer(pair[0], 0.7)
    scored, plain = (predict(model.eval(), pictures(), EASY) for model in pair)
    for found, expected in zip(scored, plain, strict=True):
        assert len(found) == 20 and expected.mask_scores is None
        for part in ("boxes", "scores", "labels", "masks"):
            assert torch.equal(getattr(found, part), getattr(expected, part))
        torch.testing.assert_close(found.mask_scores, found.scores * 0.7)


def test_each_mask_has_the_iou_of_its_own_class(pair):  # 16
    model = pair[0].eval()
    answer(model, 0.0)
    model.detector.roi_heads.iou_head.output.bias.data = torch.tensor([9.0, 0.25, 0.5, -0.75])  # background first; no clamp
    (found,) = predict(model, pictures(1), EASY.replace(max_detections=1000))
    assert set(found.labels.tolist()) == {0, 1, 2}
    torch.testing.assert_close(found.mask_scores, found.scores * torch.tensor([0.25, 0.5, -0.75])[found.labels])


def test_zero_detections_and_no_masks(pair):  # 18, 35
    model = pair[0].eval()
    (found,) = predict(model, pictures(1), EASY.replace(score_threshold=1.0))
    assert len(found) == len(found.mask_scores) == len(found.masks) == 0
    (found,) = predict(model, pictures(1), EASY.replace(masks=False))
    assert len(found) == 20 and found.mask_scores is None


def test_only_the_metrics_of_masks_depend_on_the_head(pair, tmp_path):  # 33
    scored, plain = pair
    ids, truth = [1, 2, 3], {"images": [], "annotations": [], "categories": []}
    truth["categories"] = [{"id": i, "name": str(i)} for i in ids]
    expected = []
    for image, found in enumerate(predict(plain.eval(), pictures(), EASY), start=1):
        truth["images"].append({"id": image, "height": 40, "width": 56})
        records = to_records(found, image, ids)
        expected += records
        for place in (4, 9, 15):  # what the network happens to find is true: AP is neither 0 nor 1
            own = {**records[place], "id": len(truth["annotations"]) + 1, "iscrowd": 0, "area": int(found.masks[place].sum())}
            truth["annotations"].append(own)
    (tmp_path / "truth.json").write_text(json.dumps(truth))

    def metrics(value):
        if value is not None:
            answer(scored, value)
        found = predict(scored.eval(), pictures(), EASY)
        records = [record for image, each in enumerate(found, start=1) for record in to_records(each, image, ids)]
        return [evaluate(tmp_path / "truth.json", records, kind).metrics for kind in ("bbox", "segm")]

    plain_metrics = [evaluate(tmp_path / "truth.json", expected, kind).metrics for kind in ("bbox", "segm")]
    untrained = metrics(None)
    assert untrained[0] == plain_metrics[0] and untrained[1] != plain_metrics[1]
    assert metrics(1.0) == plain_metrics  # p = 1
