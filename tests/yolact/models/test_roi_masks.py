"""Masks of regions. Numbers in comments are those of the fact sheets on CenterMask (C) and RetinaMask (R)."""

import pytest
import torch
from torch.nn import functional as F

from tests.support.networks import SIZE, TINY, TINY_POINTS, predict, random_batch, target, tiny_model
from yolact.config import EngineConfig, InferenceConfig, MaskIoUConfig, RoIMaskConfig
from yolact.config.base import ConfigError
from yolact.config.presets import preset
from yolact.inference.engines.network_graph import NetworkGraph
from yolact.inference.export import ExportError, export_model
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.models.masks import build_branch
from yolact.models.masks.mask_branch import Instances, Truth
from yolact.models.masks.roi import MaskHead, SpatialAttention

SMALL = RoIMaskConfig(convs=1, channels=16, canonical_size=32, mask_iou=MaskIoUConfig(convs=2, channels=16, units=16))
CENTERMASK = SMALL.replace(
    level_rule="ratio",
    aligned=True,
    samples=0,
    attention=True,
    mask_scoring=True,
    clip="pasting",
    pasting="centres",
    proposal_nms_iou=0.6,
    max_masks_per_image=128,
)
BRANCHES = {"RetinaMask": SMALL, "CenterMask": CENTERMASK}
HEADS = {"anchors": TINY, "points": TINY_POINTS}
MANY = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=20)


def build(head="points", branch=CENTERMASK, seed=0):
    return tiny_model(HEADS[head].replace(mask_branch=branch), seed=seed)


@pytest.mark.parametrize(
    ("config", "channels", "parameters", "tensors"),
    [
        pytest.param({"attention": True}, 256, 2_643_298, 13, id="CenterMask"),  # C23
        pytest.param({"attention": True, "convs": 2, "channels": 128}, 128, 371_170, 9, id="CenterMask-Lite"),
        pytest.param({}, 256, 2_643_298 - 18, 12, id="RetinaMask, without its background channel"),
    ],
)
def test_numbers_of_parameters(config, channels, parameters, tensors):
    with torch.device("meta"):
        head = MaskHead(RoIMaskConfig(**config), channels, 80)
    assert sum(value.numel() for value in head.parameters()) == parameters
    assert len(head.state_dict()) == tensors
    assert head(torch.zeros(2, channels, 14, 14, device="meta")).shape == (2, 80, 28, 28)


@pytest.mark.parametrize(
    ("name", "backbone", "head", "masks", "iou"),
    [
        ("centermask_vovnet39", 25_184_128, 4_920_666, 2_643_298, 16_340_304),  # C4, F58, C23, C24
        ("centermask_lite_vovnet39", 25_184_128, 689_370, 371_170, 7_851_472),
        ("centermask_lite_vovnet19", 10_180_416, 689_370, 371_170, 7_851_472),
    ],
)
def test_published_numbers_of_parameters(name, backbone, head, masks, iou):
    with torch.device("meta"):
        model = build_model(preset(name).model, 80, pretrained=False)
    parts = (model.backbone, model.head, model.branch.head, model.branch.iou)
    assert [sum(value.numel() for value in part.parameters()) for part in parts] == [backbone, head, masks, iou]


def test_initial_weights():  # C8
    torch.manual_seed(0)
    branch = build_branch(RoIMaskConfig(channels=64, attention=True), 64, SIZE, 80)
    branch.initialise()
    assert branch.head.convs[1].weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    assert branch.head.output.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not any(value.any() for name, value in branch.named_parameters() if name.endswith("bias"))


def attended(channel, weight, bias_free=True):
    attention = SpatialAttention()
    assert (attention.conv.bias is None) == bias_free
    features = torch.tensor([1.0, -1.0])[None, :, None, None].expand(1, 2, 3, 3)
    with torch.no_grad():
        attention.conv.weight.zero_()
        attention.conv.weight[0, channel, 1, 1] = weight
    return attention(features)[0, :, 1, 1].tolist()


def test_attention():  # C34
    assert attended(0, 0.0) == [0.5, -0.5]
    assert attended(1, 1.0) == pytest.approx([0.731059, -0.731059], abs=1e-6)  # the largest channel comes second
    assert attended(0, 1.0) == [0.5, -0.5]  # the mean is 0


def truth_of(targets, side=SIZE):
    return Truth(
        torch.zeros(0, dtype=torch.int64),
        torch.cat([each.boxes for each in targets]) / side,
        torch.cat([each.masks for each in targets]),
        [0] * len(targets),
        [7 + number for number in range(len(targets))],
        torch.cat([each.labels for each in targets]),
        torch.repeat_interleave(torch.arange(len(targets)), torch.tensor([len(each.boxes) for each in targets])),
    )


def found_at(boxes, image=0, side=SIZE):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) / side
    nothing = torch.zeros(len(boxes), dtype=torch.int64)
    return Instances(nothing + image, boxes, nothing, torch.ones(len(boxes)), boxes[:, :0], boxes)


def sampled(targets, found, config=SMALL):
    asked = []
    branch = build_branch(config, 8, SIZE, 3)
    return *branch.sample(None, truth_of(targets), lambda inference: asked.append(inference) or found), asked


def test_regions_of_training():  # C10, R14, R15
    """What overlaps an object by one half learns its mask, whatever class was predicted; each object's box is a region too."""
    targets = [target([[8, 8, 24, 24], [30, 30, 50, 50]], [1, 2]), target([]), target([[0, 0, 20, 40]], [0])]
    found = [
        found_at([[8, 8, 24, 20], [8, 8, 24, 15], [30, 30, 50, 50]]),
        found_at([[0, 0, 9, 9]], 1),
        found_at([[torch.nan] * 4, [-torch.inf, 0, torch.inf, torch.inf], [-4, -6, 20, 40]], 2),
    ]
    regions, truth, (inference,) = sampled(targets, found)
    assert truth.per_image == [4, 0, 2] and truth.objects.tolist() == [0, 1, 0, 1, 2, 2]
    assert regions.image.tolist() == [0, 0, 0, 0, 2, 2] and regions.labels.tolist() == [1, 2, 1, 2, 0, 0]
    assert (regions.boxes[4] * SIZE).tolist() == [0, 0, 20, 40]  # cut to the image
    asked = inference.max_detections, inference.nms_iou, inference.suppression, inference.level_top_k
    assert asked == (100, 0.4, "standard", 1000)
    kept, _, _ = sampled(targets, found, CENTERMASK)
    assert (kept.boxes[4] * SIZE).tolist() == [-4, -6, 20, 40]  # C10: unclipped


def test_the_cap_on_regions_is_drawn_from_the_seed():
    targets = [target([[4 * i, 4 * i, 4 * i + 9, 4 * i + 9] for i in range(9)]), target([[0, 0, 9, 9]])]
    found = [found_at([]), found_at([], 1)]
    regions, truth, _ = sampled(targets, found, SMALL.replace(max_masks_per_image=4))
    again, _, _ = sampled(targets, found, SMALL.replace(max_masks_per_image=4))
    assert truth.per_image == [4, 1] and len(set(truth.objects.tolist())) == 5
    assert torch.equal(regions.boxes, again.boxes) and regions.image.tolist() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize("branch", BRANCHES.values(), ids=BRANCHES)
@pytest.mark.parametrize("head", HEADS)
def test_with_any_head_an_untrained_network_learns_masks(head, branch):  # R34, C12
    model = build(head, branch).eval()
    images, targets = random_batch(0)
    terms = model.loss(images, model.assign(targets))
    masks = {name for name in terms if name.startswith("mask")}
    assert masks == ({"mask", "mask_iou"} if branch.mask_scoring else {"mask"})
    assert all(torch.isfinite(value) for value in terms.values()) and terms["mask"] > 0
    sum(terms[name] for name in masks).backward()
    assert all(value.grad.any() for name, value in model.branch.named_parameters() if not name.endswith("output.bias"))
    assert any(value.grad is not None and value.grad.any() for value in model.backbone.parameters())
    assert not any(value.grad is not None and value.grad.any() for value in model.head.parameters())


@pytest.mark.parametrize("head", HEADS)
def test_a_split_batch_has_the_same_loss(head):  # R36
    model = build(head).eval()
    images, targets = random_batch(1, images=4, n=2, crowds=1)
    targets[3] = target([])
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(part) for part in (targets[:1], targets[1:3], targets[3:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(*pair, counts) for pair in zip((images[:1], images[1:3], images[3:]), parts, strict=True)]
    assert {"mask", "mask_iou"} < set(whole)
    for name, value in whole.items():
        torch.testing.assert_close(sum(part[name] for part in split), value, rtol=1e-4, atol=1e-5)


def test_a_batch_without_objects_has_a_finite_loss_and_gradients():
    model = build()
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert terms["mask"] == 0 == terms["mask_iou"]
    assert all(torch.isfinite(each.grad).all() for each in model.parameters() if each.grad is not None)


def test_only_the_objects_class_is_taught():  # C39, C11
    model = build(branch=CENTERMASK).eval()
    images, _ = random_batch(0, images=1)
    model.loss(images, model.assign([target([[8, 8, 50, 40]], [1])]))["mask"].backward()
    by_class = model.branch.head.output.weight.grad.flatten(1).abs().sum(1)
    assert by_class[1] > 0 and by_class[[0, 2]].tolist() == [0, 0]


def test_the_loss_is_the_mean_of_cross_entropy_over_an_images_regions():  # C11, R17
    branch, levels = build_branch(SMALL, 8, SIZE, 3), tuple(torch.rand(2, 8, side, side) for side in (8, 4, 2))
    targets = [target([[8, 8, 24, 24], [30, 30, 50, 50]], [1, 2]), target([[0, 0, 20, 40]], [0])]
    regions, truth, _ = sampled(targets, [found_at([[8, 8, 24, 20]]), found_at([], 1)])
    made = branch.loss(regions, levels, truth)["mask"].item()
    expected = 0
    for i in range(4):
        box, image = regions.boxes[i : i + 1] * SIZE, regions.image[i : i + 1]
        logits = branch.head(branch.pool(levels, image, regions.boxes[i : i + 1]))[0, regions.labels[i]]
        x1, y1, x2, y2 = (int(value) for value in box[0])
        cut = truth.masks[truth.objects[i], y1:y2, x1:x2]
        step = F.interpolate(cut[None, None].float(), size=(28, 28), mode="bilinear", align_corners=False)[0, 0]
        expected += F.binary_cross_entropy_with_logits(logits, (step >= 0.5).float()).item() / (3 if image == 0 else 1)
    assert made == pytest.approx(expected, rel=2e-3)


def survivors(model, images):
    with torch.no_grad():
        raw = model(images)
    return raw, model._survivors(raw, 0, MANY)


def test_the_order_of_regions_does_not_matter():  # C39
    model = build().eval()
    torch.nn.init.normal_(model.branch.head.output.weight)
    raw, found = survivors(model, random_batch(2, images=1)[0])
    found = found._replace(boxes=torch.rand(20, 4).sort(dim=1).values)
    context = tuple(level[0] for level in raw.context)
    masks, scores = model.branch.masks(found, context, (50, 40), MANY)
    order = torch.arange(len(found.scores)).flip(0)
    turned = Instances(*(each[order] for each in found))
    other_masks, other_scores = model.branch.masks(turned, context, (50, 40), MANY)
    assert len(order) == 20 and 0 < masks.float().mean() < 1
    assert (other_masks.flip(0) != masks).sum() <= 2
    torch.testing.assert_close(other_scores.flip(0), scores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("shape", [(1, 1), (37, 90)], ids=str)
def test_predictions_have_the_images_size(head, shape):
    model = build(head).eval()
    image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    (found,) = predict(model, [image], MANY)
    assert found.masks.shape == (20, *shape) and found.mask_scores.shape == (20,)
    (boxes,) = predict(model, [image], MANY.replace(masks=False))  # R35
    assert torch.equal(boxes.boxes, found.boxes) and torch.equal(boxes.scores, found.scores) and boxes.mask_scores is None
    (none,) = predict(model, [image], MANY.replace(score_threshold=1.0))
    assert none.masks.shape == (0, *shape) and none.mask_scores.shape == (0,)


def test_mask_scoring_changes_the_order_of_masks_alone():  # C39, C17
    with_iou, without = build(), build(branch=CENTERMASK.replace(mask_scoring=False))
    state = with_iou.state_dict()
    without.load_state_dict({name: value for name, value in state.items() if not name.startswith("branch.iou")})
    image = torch.randint(0, 256, (3, 50, 40), dtype=torch.uint8)
    (scored,), (plain,) = (predict(model.eval(), [image], MANY) for model in (with_iou, without))
    assert plain.mask_scores is None
    assert all(torch.equal(getattr(scored, name), getattr(plain, name)) for name in ("boxes", "scores", "labels", "masks"))
    assert not torch.equal(scored.mask_scores, scored.scores)
    with torch.no_grad():
        with_iou.branch.iou.output.weight.zero_()
        with_iou.branch.iou.output.bias.copy_(torch.tensor([0.7, -0.5, 1.5]))
    (scored,) = predict(with_iou, [image], MANY)
    expected = scored.scores * torch.tensor([0.7, -0.5, 1.5])[scored.labels]
    torch.testing.assert_close(scored.mask_scores, expected)  # not held between 0 and 1


@pytest.mark.parametrize(
    ("clip", "columns"),
    [
        pytest.param("pasting", 15, id="official quirk: squeezed into what is left of the box"),
        pytest.param("none", 10, id="left in place"),
        pytest.param("boxes", 15, id="cut before pooling"),
    ],
)
@pytest.mark.parametrize("pasting", ["centres", "padded"])
def test_a_box_that_sticks_out(monkeypatch, clip, columns, pasting):  # C6
    """The right half of a mask whose box reaches from -10 to 30: 20 columns where the box is, 15 squeezed into its 30."""
    branch = build_branch(CENTERMASK.replace(clip=clip, pasting=pasting, mask_scoring=False), 8, 60, 3)
    logits = torch.full((1, 3, 28, 28), -9.0)
    logits[..., 14:] = 9
    monkeypatch.setattr(branch.head, "forward", lambda features: logits)
    levels = tuple(torch.rand(8, side, side) for side in (8, 4, 2))
    found = found_at([[-10, 12, 30, 48]], side=60)
    (mask,) = branch.masks(found, levels, (60, 60), MANY).masks
    assert mask[12:48].any(0).nonzero()[0].item() == pytest.approx(columns, abs=1)
    assert mask[14:46, columns + 2 : 29].all() and not mask[:11].any() and not mask[50:].any()


def test_boxes_without_bound_take_bounded_time():
    branch = build_branch(CENTERMASK, 8, SIZE, 3)
    levels = tuple(torch.rand(8, side, side) for side in (8, 4, 2))
    found = found_at([[-1e9, -1e9, 1e9, 1e9], [torch.nan] * 4, [-torch.inf, 0, torch.inf, 9]])
    assert branch.masks(found, levels, (20, 20), MANY).masks.shape == (3, 20, 20)


def test_a_level_above_the_pyramid():
    with pytest.raises(ConfigError, match=r"mask_branch\.highest_level 6 is above the pyramid's P5"):
        TINY_POINTS.replace(mask_branch=SMALL.replace(highest_level=6))
    model = build("anchors", SMALL.replace(highest_level=6, canonical_level=5))
    assert len(survivors(model.eval(), random_batch(0, images=1)[0])[0].context) == 4


@pytest.mark.parametrize("bad", ["context", "logits"])
def test_a_value_that_is_not_finite_shows(bad):
    model = build().eval()
    images, targets = random_batch(0)
    raw = model(images)
    spoilt = (raw.context[0] if bad == "context" else raw.dense.logits).clone()
    spoilt.view(-1)[-1] = torch.inf
    if bad == "context":
        raw = raw._replace(context=(spoilt, *raw.context[1:]))
    else:
        raw = raw._replace(dense=raw.dense._replace(logits=spoilt))
    assert not torch.isfinite(sum(model.criterion(raw, model.assign(targets)).values()))


def test_layers_after_suppression_stay_out_of_graphs_and_files(tmp_path):
    model = build().eval()
    assert model.outside_forward == ("semantic", "branch.head", "branch.iou")
    graph = NetworkGraph(model, torch.float32, True)
    assert not any(name.startswith("network.branch") for name, _ in graph.named_parameters())
    assert model.branch.head is not None
    with pytest.raises(ExportError, match=r"mask_branch\.kind roi .* after suppression"):
        export_model(model, tmp_path / "net.onnx", "onnx")


def test_layers_that_depend_on_the_classes():
    assert build().class_layers == ("head.classification", "semantic", "branch.head.output", "branch.iou.output")
    assert tiny_model(TINY).class_layers == ("head.classification", "semantic")
    config = TINY.replace(mask_branch=CENTERMASK)
    few, many = ({n: value.shape for n, value in tiny_model(config, classes).state_dict().items()} for classes in (2, 3))
    differ = {name for name in few if few[name] != many[name]}
    assert all(name.startswith(build().class_layers) for name in differ)


@pytest.mark.slow
@pytest.mark.parametrize("suppression", ["standard", "fast"])
def test_the_compiled_engine_leaves_regions_to_the_model(suppression):
    model = build().eval()
    image = torch.randint(0, 256, (3, 50, 40), dtype=torch.uint8)
    inference = MANY.replace(suppression=suppression)
    (eager,) = predict(model, [image], inference)
    (compiled,) = predict(model, [image], inference.replace(engine=EngineConfig(kind="compiled")))
    torch.testing.assert_close(compiled.scores, eager.scores, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(compiled.mask_scores, eager.mask_scores, rtol=1e-3, atol=1e-5)
    assert (compiled.masks != eager.masks).float().mean() < 1e-3
