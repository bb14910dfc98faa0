"""YOLOv3. Numbers in comments are those of the fact sheet on box detectors, section 2."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import box_convert

from tests.reference.slow_boxes import yolo_deltas
from tests.support.networks import SIZE, TINY_YOLOV3, predict, random_batch, target, tiny_model
from yolact.config import BackboneConfig, InferenceConfig, PrototypeConfig, YOLOv3Config, YOLOv3MatchingConfig
from yolact.config.base import ConfigError
from yolact.errors import UserError
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.models.checkpoint import load_weights
from yolact.models.official.darknet import write_darknet
from yolact.models.one_stage.dense_head import Assignment, Dense
from yolact.models.one_stage.heads.yolov3_head import YOLOv3Head
from yolact.ops.anchors import level_sizes

PUBLISHED = YOLOv3Config()
INFERENCE = InferenceConfig(**YOLOv3Config.inference_defaults)


@pytest.mark.parametrize(("size", "predictions"), [(320, 6_300), (416, 10_647), (608, 22_743)])
def test_published_numbers(size, predictions):  # 2.2.3
    with torch.device("meta"):
        model = build_model(YOLOv3Config(image_size=size), 80, pretrained=False)
    assert sum(parameter.numel() for parameter in model.parameters()) == 61_949_149
    assert model.head.locations.shape == (predictions, 4)
    assert [output.out_channels for output in model.head.outputs] == [255] * 3


def head(**changes):
    torch.manual_seed(0)
    return YOLOv3Head(PUBLISHED.replace(**changes), 80, 0, level_sizes(416, 3))


def assigned(made, targets):
    return Assignment.of(targets, made.assign(targets), made.config.image_size)


def test_the_worked_object():  # 2.3.2: centre (200, 120), 100 x 80 of 416
    made = head()
    assignment = assigned(made, [target([[150, 80, 250, 160]], [7], size=416)])
    place = 3 * (52**2 + 26**2) + 3 * (3 * 13 + 6)  # stride 32, row 3, column 6, the first of three shapes
    assert assignment.location.tolist() == [place]
    assert assignment.classes[0, place] == 8 and int((assignment.classes != 0).sum()) == 1
    (wanted,) = made._encode(assignment.boxes, made.locations[assignment.location])
    anchor = wanted[2:] - made.priors[2, 0]
    assert wanted[:2].tolist() == pytest.approx([0.25, 0.75], abs=1e-5)
    assert anchor.tolist() == pytest.approx([-0.14842, -0.11778], abs=5e-6)
    dense = Dense(torch.zeros(1, 10_647, 4, requires_grad=True), torch.zeros(1, 10_647, 80), None, torch.zeros(1, 10_647))
    made.loss(dense, assignment, assignment.counts)["box"].backward()
    scale = 1.95377
    assert dense.box.grad[0, place, :2].tolist() == pytest.approx([scale * (0.5 - 0.25), scale * (0.5 - 0.75)], abs=2e-5)
    decoded = made.decode(torch.cat([torch.logit(wanted[:2]), wanted[2:]]), made.locations[place]) * 416
    assert decoded.tolist() == pytest.approx([150, 80, 250, 160], abs=1e-3)


def deltas_of(model, raw, targets, index):
    """The slow path's deltas of one image, in the order of the library's outputs: (P, 5 + C)."""
    made = model.head
    outputs = torch.cat([raw.dense.box, raw.dense.quality[..., None], raw.dense.logits], dim=-1)[index].detach().double()
    levels, start = [], 0
    for side, prior in zip(made.sides, made.priors.double(), strict=True):
        own = (
            outputs[start : start + side**2 * made.per_cell].reshape(side, side, made.per_cell, -1).permute(2, 0, 1, 3).clone()
        )
        own[..., 2:4] -= prior[:, None, None]
        levels.append(own)
        start += side**2 * made.per_cell
    real = ~targets[index].crowd
    truth = torch.cat(
        [box_convert(targets[index].boxes[real].double(), "xyxy", "cxcywh") / SIZE, targets[index].labels[real, None]], 1
    )
    truth = [(*row[:4], int(row[4])) for row in truth.tolist()]
    config = model.config
    found = yolo_deltas(
        [level.tolist() for level in levels],
        truth,
        config.anchors,
        SIZE,
        model.num_classes,
        config.matching.ignore_iou,
        config.matching.union_of_classes,
    )
    for level in levels:
        level.zero_()
    for (level, anchor, row, column, channel), value in found.items():
        levels[level][anchor, row, column, channel] = value
    return torch.cat([level.permute(1, 2, 0, 3).reshape(-1, level.shape[-1]) for level in levels])


@pytest.mark.parametrize("union", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_are_darknets(seed, union):  # 2.4.1; some objects share an anchor, some predictions are ignored
    model = tiny_model(TINY_YOLOV3.replace(matching=YOLOv3MatchingConfig(ignore_iou=0.3, union_of_classes=union)))
    images, targets = random_batch(seed, n=4, crowds=1)
    same = [[10, 10, 42, 42], [11, 11, 43, 44]]
    targets.append(target(same, [0, 2], image_id=9))
    images = torch.cat([images, images[:1]])
    raw = model(images)
    dense = raw.dense._replace(
        **{name: getattr(raw.dense, name).detach().requires_grad_() for name in ("box", "logits", "quality")}
    )
    assignment = model.assign(targets)
    sum(model.criterion(raw._replace(dense=dense), assignment).values()).backward()
    gradients = torch.cat([dense.box.grad, dense.quality.grad[..., None], dense.logits.grad], dim=-1).double()
    silent = 0
    for index in range(3):
        expected = deltas_of(model, raw, targets, index)
        torch.testing.assert_close(-gradients[index] * 3, expected, rtol=1e-4, atol=1e-5)
        silent += int((expected[:, 4] == 0).sum())
    assert silent > 0
    shared = assignment.classes[2] > 0
    assert int(shared.sum()) == 1 and int((gradients[2][shared][:, 5:] < 0).sum()) == (2 if union else 1)


def test_a_prediction_equal_to_an_object_elsewhere_is_ignored():  # 2.3.3, section 5
    made = head()
    truth = target([[150, 80, 250, 160]], [7], size=416)
    assignment = assigned(made, [truth])
    (place,) = assignment.location.tolist()
    near = place - 3 * 13  # the cell above, in which the object's centre is 1.75 cells down; a sigmoid ends at 1
    box = torch.zeros(1, 10_647, 4)
    box[0, near] = torch.tensor([-1.0986, 9.0, *made._encode(assignment.boxes, made.locations[place][None])[0, 2:]])
    quality = torch.zeros(1, 10_647, requires_grad=True)
    for threshold, expected in ((0.5, 0.0), (0.95, 0.5)):
        made.config = PUBLISHED.replace(matching=YOLOv3MatchingConfig(ignore_iou=threshold))
        quality.grad = None
        made.loss(Dense(box, torch.zeros(1, 10_647, 80), None, quality), assignment, assignment.counts)["objectness"].backward()
        assert quality.grad[0, near].item() == pytest.approx(expected)
        assert quality.grad[0, place].item() == pytest.approx(-0.5)  # a positive is never ignored


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**31))
def test_an_object_is_learned_once_and_comes_back_from_its_encoding(seed):
    made = tiny_model(TINY_YOLOV3).head
    _, (truth,) = random_batch(seed, images=1, n=1)
    assignment = assigned(made, [truth])
    assert assignment.counts["positives"] == 1 == int((assignment.classes > 0).sum())
    at = made.locations[assignment.location]
    wanted = made._encode(assignment.boxes, at)
    decoded = made.decode(torch.cat([torch.logit(wanted[:, :2]), wanted[:, 2:]], dim=1), at)
    torch.testing.assert_close(decoded, assignment.boxes, atol=1e-5, rtol=1e-4)


def test_objects_too_small_or_too_many_are_left_out():  # 2.3.4
    corners = [[x, y, x + 9, y + 9] for y in range(0, 400, 40) for x in range(0, 400, 40)]
    assert len(assigned(head(), [target(corners, size=416)]).location) == 90
    made = tiny_model(TINY_YOLOV3.replace(matching=YOLOv3MatchingConfig(max_objects=2))).head
    _, targets = random_batch(0, images=2, n=3)
    assert assigned(made, targets).per_image == [2, 2]
    thin = target([[4, 4, 4.05, 30], [4, 4, 40, 40]], [0, 1])
    assert assigned(tiny_model(TINY_YOLOV3).head, [thin]).objects.tolist() == [1]


def test_channels_run_anchor_by_anchor():  # 2.2.4
    model = tiny_model(TINY_YOLOV3).eval()
    with torch.no_grad():
        for output in model.head.outputs:
            output.weight.zero_()
            output.bias.copy_(torch.arange(16.0))  # two anchors of x, y, w, h, objectness and three classes
    dense = model(random_batch(0)[0]).dense
    assert dense.box[0, 0, :2].tolist() == [0, 1] and dense.quality[0, 0] == 4 and dense.logits[0, 0].tolist() == [5, 6, 7]
    assert dense.box[0, 1, :2].tolist() == [8, 9] and dense.logits[0, 1].tolist() == [13, 14, 15]
    assert (dense.box[0, 1, 2:] - torch.tensor([10.0, 11])).exp().tolist() == pytest.approx([12 / 8, 8 / 8])
    corners = model.head.decode(dense.box[0, :1], model.head.locations[:1]) * SIZE
    sides = corners[0, 2:] - corners[0, :2]
    assert sides.tolist() == pytest.approx([8 * math.exp(2), 8 * math.exp(3)], rel=1e-5)


def test_the_upsampled_map_stands_before_the_backbones():  # 2.2.2
    neck = tiny_model(TINY_YOLOV3).eval().fpn
    features = [torch.rand(1, channels, side, side) for channels, side in ((32, 8), (64, 4), (128, 2))]
    levels = neck(features)
    above = neck.links[0](levels[1]).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(levels[0], neck.blocks[0](torch.cat([above, features[0]], dim=1)))
    kernels = [(conv[0].kernel_size[0], conv[0].out_channels) for conv in neck.blocks[0]]
    assert kernels == [(1, 16), (3, 32), (1, 16), (3, 32), (1, 16)]
    assert neck.blocks[0][0][1].momentum == 0.01
    assert neck.blocks[0][0](-torch.ones(1, 48, 1, 1)).min() >= F.leaky_relu(torch.tensor(-50.0), 0.1)


def test_scores_are_objectness_times_class():
    found = head().scores(torch.logit(torch.tensor([[0.5, 0.2]])), torch.logit(torch.tensor([0.4])))
    torch.testing.assert_close(found, torch.tensor([[0.2, 0.08]]))


def test_detections_are_inside_and_sorted():
    (found,) = predict(tiny_model(TINY_YOLOV3), [torch.randint(0, 256, (3, 40, 56), dtype=torch.uint8)], INFERENCE)
    assert len(found) > 0 and found.masks is None
    assert (found.scores.diff() <= 0).all() and found.scores.min() > 0.005
    assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([56, 40, 56, 40])).all()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31))
def test_a_split_batch_has_the_same_loss(seed):
    model = tiny_model(TINY_YOLOV3).eval()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    assert set(whole) == {"box", "objectness", "class"}
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_without_objects_only_objectness_is_learned():
    model = tiny_model(TINY_YOLOV3)
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert terms["box"] == 0 == terms["class"] and torch.isfinite(terms["objectness"]) and terms["objectness"] > 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crowds_change_nothing():
    model = tiny_model(TINY_YOLOV3).eval()
    images, _ = random_batch(0, images=1)
    terms = [model.loss(images, model.assign([truth])) for truth in (
        target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 1], [False, True]), target([[8, 8, 30, 30]], [0]))]  # fmt: skip
    assert terms[0] == terms[1]


@pytest.mark.parametrize("bad", ["box", "logits", "quality"])
def test_a_value_that_is_not_finite_shows(bad):
    model = tiny_model(TINY_YOLOV3).eval()
    images, targets = random_batch(0)
    raw = model(images)
    spoilt = getattr(raw.dense, bad).clone()
    spoilt[0, -1] = torch.inf
    terms = model.criterion(raw._replace(dense=raw.dense._replace(**{bad: spoilt})), model.assign(targets))
    assert not torch.isfinite(sum(terms.values()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_branch": PrototypeConfig()}, "mask_branch 'prototypes' does not fit.*numbers of channels; choose 'none'"),
        ({"anchors": [[[8, 8]], [[8, 8], [9, 9]], [[8, 8]]]}, r"same number of anchors, got \[1, 2, 1\]"),
    ],
)
def test_parts_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        YOLOv3Config.from_data(
            {**YOLOv3Config().to_data(), **{k: v if isinstance(v, list) else v.to_data() for k, v in changes.items()}}
        )


def test_darknets_weight_file_both_ways(tmp_path):  # 2.5.5
    with torch.device("meta"):
        model = build_model(PUBLISHED, 80, pretrained=False)
    assert [tuple(p.shape) for p in (model.head.outputs[2].weight, model.fpn.links[1][0].weight)] == [
        (255, 1024, 1, 1),
        (256, 512, 1, 1),
    ]
    written, read = tiny_model(TINY_YOLOV3), tiny_model(TINY_YOLOV3, seed=1)
    write_darknet(written, tmp_path / "net.weights")
    raw = (tmp_path / "net.weights").read_bytes()
    numbers = torch.frombuffer(bytearray(raw[20:]), dtype=torch.float32)
    first = written.fpn.blocks[2][0]  # the backbone here is no DarkNet, and stays out of the file
    assert torch.equal(numbers[:16], first[1].bias) and torch.equal(numbers[64 : 64 + 128 * 16], first[0].weight.flatten())
    assert torch.equal(numbers[-first_count(written) :][:16], written.head.outputs[0].bias)
    read.backbone.load_state_dict(written.backbone.state_dict())
    assert load_weights(read, tmp_path / "net.weights") == []
    assert all(torch.equal(value, read.state_dict()[name]) for name, value in written.state_dict().items())
    (tmp_path / "short.weights").write_bytes(raw[:-4])
    with pytest.raises(UserError, match="numbers, but this network has"):
        load_weights(read, tmp_path / "short.weights")
    with pytest.raises(UserError, match="fits YOLOv3"):
        load_weights(tiny_model(), tmp_path / "net.weights")


def first_count(model):
    """Numbers of the last convolution in the file: 16 biases, 32 x 16 weights."""
    output = model.head.outputs[0]
    return output.bias.numel() + output.weight.numel()


def test_a_file_of_the_backbone_alone(tmp_path):
    from yolact.models.backbones import DarkNet53, build_backbone

    torch.manual_seed(0)
    backbone = DarkNet53()
    write_darknet(backbone, tmp_path / "darknet53.conv.74")
    loaded = build_backbone(BackboneConfig(name="darknet53", weights=str(tmp_path / "darknet53.conv.74")))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in backbone.state_dict().items())
