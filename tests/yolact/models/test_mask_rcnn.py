"""torchvision's Mask R-CNN behind the Model interface: frames, losses, determinism, suppression."""

from contextlib import contextmanager

import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import box_iou, clip_boxes_to_image

from tests.support.networks import loss, predict
from yolact.config import BackboneConfig, InferenceConfig, MaskRCNNConfig
from yolact.config.base import ConfigError
from yolact.models.build import build_model
from yolact.models.two_stage.mask_rcnn import MaskRCNN
from yolact.models.two_stage.suppression import suppress_per_class
from yolact.runtime.profiling import profiled
from yolact.structures import Target

SIZE = 72  # not a multiple of 32
TINY = MaskRCNNConfig(
    image_size=SIZE,
    backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4),
    channels=8,
    representation=16,
    anchor_sizes=(8, 16, 32, 64),
)
EVERYTHING = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=7)
TERMS = {"objectness", "rpn_box", "class", "box", "mask"}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(TINY, num_classes=2).eval()


def target(boxes=((8, 8, 40, 30), (20, 30, 60, 70)), crowd=None, seed=1):
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes, strict=True):
        mask[y1:y2, x1:x2] = 1
    return Target(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.arange(len(boxes)) % 2,
        masks=masks,
        crowd=torch.tensor(crowd or [False] * len(boxes), dtype=torch.bool),
        image_id=0,
        seed=seed,
    )


def images(count, seed=0):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 255


def plain(terms):
    return {name: float(value.detach()) for name, value in terms.items()}


def test_it_is_what_build_model_builds_from_its_config(model):
    assert isinstance(model, MaskRCNN)
    assert (model.image_size, model.num_classes) == (SIZE, 2)


@pytest.mark.parametrize("sizes", [[(50, 90)], [(72, 72), (33, 120)]])
def test_detections_are_in_pixels_of_each_image(model, sizes):
    generator = torch.Generator().manual_seed(0)
    pictures = [torch.randint(0, 256, (3, *size), generator=generator, dtype=torch.uint8) for size in sizes]
    for (height, width), found in zip(sizes, predict(model, pictures, EVERYTHING), strict=True):
        assert 0 < len(found) <= 7
        assert found.masks.shape == (len(found), height, width) and found.masks.dtype == torch.bool
        assert found.boxes.dtype == torch.float32 and found.labels.dtype == torch.int64
        assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert ((found.labels >= 0) & (found.labels < 2)).all()
        assert (found.scores.diff() <= 0).all()
        assert found.coefficients is None and found.prototypes is None


@pytest.mark.parametrize("suppression", ["standard", "fast"])
def test_no_detections_still_have_masks_of_the_images_size(model, suppression):
    none = InferenceConfig(suppression=suppression, score_threshold=1.0)
    found = predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], none)[0]
    assert found.masks.shape == (0, 20, 30) and found.boxes.shape == (0, 4)


def test_every_section_is_entered_once_per_image_or_batch(model):
    seen = []

    @contextmanager
    def sections(name):
        seen.append(name)
        yield

    with profiled(sections):
        predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], EVERYTHING)
    assert tuple(seen) == model.section_names


@pytest.mark.parametrize("suppression", ["cross_class", "traditional"])
def test_other_suppressions_are_refused(model, suppression):
    with pytest.raises(ConfigError, match="choose 'standard' or 'fast'"):
        predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], InferenceConfig(suppression=suppression))


def test_fast_nms_removes_by_removed_boxes_within_a_class_only():
    chain = torch.tensor([[0, 0, 10, 10], [0, 4, 10, 14], [0, 8, 10, 18]], dtype=torch.float32)  # neighbours overlap by 0.43
    boxes = torch.stack([chain, chain + 100], dim=1)
    scores = torch.tensor([[0.5, 0.1], [0.4, 0.3], [0.3, 0.0]])
    found = suppress_per_class(boxes, scores, InferenceConfig(nms_iou=0.4))
    assert found.scores.tolist() == pytest.approx([0.5, 0.3])
    assert found.labels.tolist() == [0, 1]
    assert found.regions.tolist() == [0, 1]
    assert found.boxes.tolist() == [chain[0].tolist(), (chain[1] + 100).tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_standard_suppression_is_torchvisions_to_the_bit(model, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(30, 2, generator=generator) * 50
    proposals = torch.cat([corner, corner + torch.rand(30, 2, generator=generator) * 22], dim=1)
    logits, offsets = torch.randn(30, 3, generator=generator), torch.randn(30, 12, generator=generator) * 20
    heads = model.detector.roi_heads
    heads.score_thresh, heads.nms_thresh, heads.detections_per_img = 0.2, 0.3, 20
    expected = heads.postprocess_detections(logits, offsets, [proposals], [(SIZE, SIZE)])
    boxes = clip_boxes_to_image(heads.box_coder.decode(offsets, [proposals])[:, 1:], (SIZE, SIZE))
    assert (boxes[..., 2:] == boxes[..., :2]).any()  # boxes outside the image, which torchvision removes
    inference = InferenceConfig(suppression="standard", score_threshold=0.2, nms_iou=0.3, max_detections=20)
    found = suppress_per_class(boxes, logits.softmax(1)[:, 1:], inference)
    for ours, (theirs,) in zip((found.boxes, found.scores, found.labels + 1), expected, strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(found.boxes, boxes[found.regions, found.labels])


def test_losses_are_named_finite_and_reach_every_weight(model):
    terms = loss(model.train(), images(2), [target(), target(seed=2)])
    assert set(terms) == TERMS
    sum(terms.values()).backward()
    without = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]
    assert not without


def test_an_images_losses_are_torchvisions_to_the_bit(model):
    goal, levels = target(seed=5), model(images(1)).levels
    features = {f"P{number}": level for number, level in enumerate(levels, start=3)}
    truth = [{"boxes": goal.boxes, "labels": goal.labels + 1, "masks": goal.masks}]
    sizes = ImageList(images(1), [(SIZE, SIZE)])
    torch.manual_seed(goal.seed)
    proposals, expected = model.train().detector.rpn(sizes, features, truth)
    _, heads = model.detector.roi_heads(features, proposals, sizes.image_sizes, truth)
    found = model.eval().criterion(model(images(1)), model.assign([goal]))
    names = ("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")
    assert plain(found) == dict(zip(found, ((expected | heads)[name].item() for name in names), strict=True))


@pytest.mark.parametrize(
    ("empty", "reason"),
    [
        (target(()), "no instances"),
        (target(((8, 8, 40, 30),), crowd=[True]), "a crowd alone"),
        (target(((8, 8, 8, 30),)), "a box without area alone"),
    ],
)
def test_a_batch_without_anything_to_learn_has_a_finite_loss(model, empty, reason):
    terms = loss(model.train(), images(2), [empty, empty])
    assert all(value.isfinite() for value in terms.values()), reason
    assert plain(terms)["mask"] == plain(terms)["box"] == plain(terms)["rpn_box"] == 0, reason
    sum(terms.values()).backward()


def test_a_crowd_does_not_enter_the_targets(model):
    with_crowd = target(((8, 8, 40, 30), (20, 30, 60, 70)), crowd=[False, True])
    assert plain(loss(model, images(1), [with_crowd])) == plain(loss(model, images(1), [target(((8, 8, 40, 30),))]))


def test_splitting_a_batch_changes_nothing(model):
    batch, targets = images(3), [target(), target(((5, 5, 30, 60),), seed=7), target((), seed=9)]
    whole = plain(loss(model, batch, targets))
    total = model.assign(targets).counts
    first, second = plain(loss(model, batch[:1], targets[:1], total)), plain(loss(model, batch[1:], targets[1:], total))
    assert {name: first[name] + second[name] for name in TERMS} == pytest.approx(whole, rel=1e-5)


def test_what_is_drawn_depends_on_the_targets_seed_alone(model):
    model.detector.rpn.fg_bg_sampler.batch_size_per_image = 8
    torch.manual_seed(1)
    first, state = plain(loss(model, images(1), [target()])), torch.get_rng_state()
    torch.manual_seed(2)
    assert plain(loss(model, images(1), [target()])) == first
    assert plain(loss(model, images(1), [target(seed=2)])) != first
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_loss_and_prediction_leave_the_modules_mode_alone(model):
    model.train()
    loss(model, images(1), [target()])
    assert model.detector.rpn.training and model.detector.roi_heads.training
    predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], EVERYTHING)
    assert not model.detector.rpn.training and not model.detector.roi_heads.training


def test_it_learns_where_and_what_two_objects_are():
    torch.manual_seed(0)
    config = TINY.replace(backbone=TINY.backbone.replace(width=8), channels=16, representation=64)
    model = build_model(config, num_classes=2).train()
    goal = target(((4, 8, 36, 30), (30, 36, 66, 70)))
    picture = torch.full((3, SIZE, SIZE), 60, dtype=torch.uint8)
    for colour, (x1, y1, x2, y2) in zip((0, 250), goal.boxes.int().tolist(), strict=True):
        picture[:, y1:y2, x1:x2] = colour
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(loss(model, picture[None].float().expand(2, -1, -1, -1), [goal, goal]).values()).backward()
        optimizer.step()
    twice_as_wide = picture.repeat_interleave(2, dim=2)
    found = predict(model.eval(), [twice_as_wide], InferenceConfig(suppression="standard", score_threshold=0.3))[0]
    for label in (0, 1):
        best = int((found.labels == label).nonzero()[0])
        mask, truth = found.masks[best], goal.masks[label].bool().repeat_interleave(2, dim=1)
        assert (mask & truth).sum() / (mask | truth).sum() > 0.6
        assert box_iou(found.boxes[best : best + 1], goal.boxes[label : label + 1] * torch.tensor([2, 1, 2, 1])) > 0.6


def test_anchors_stand_at_the_true_strides(model):
    levels = model(images(1)).levels
    assert [level.shape[-1] for level in levels] == [9, 5, 3, 2]
    anchors = model.detector.rpn.anchor_generator(model.image_list(1), list(levels))[0]
    centers = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centers[: 9 * 9 * 3].unique().tolist() == list(range(0, 72, 8))
    assert centers[-2 * 2 * 3 :].unique().tolist() == [0, 64]


def test_frozen_batch_norm_stays_frozen():
    frozen = TINY.replace(backbone=TINY.backbone.replace(freeze_bn=True))
    model = build_model(frozen, num_classes=2).train()
    norms = [m for m in model.detector.backbone.body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and not any(m.training or m.weight.requires_grad for m in norms)


def test_too_few_anchor_sizes_are_refused_when_configured():
    with pytest.raises(ConfigError, match="anchor_sizes"):
        MaskRCNNConfig.from_data({"anchor_sizes": [8, 16]})


def test_weights_survive_the_round_trip(model):
    other = build_model(TINY, num_classes=2).eval()
    other.load_state_dict(model.state_dict())
    picture = [torch.full((3, 40, 60), 90, dtype=torch.uint8)]
    assert torch.equal(predict(other, picture, EVERYTHING)[0].boxes, predict(model, picture, EVERYTHING)[0].boxes)


def test_under_autocast_losses_and_boxes_stay_in_float32(model):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(model, images(1), [target()])
    found = predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], EVERYTHING.replace(engine={"precision": "bf16"}))[0]
    assert {value.dtype for value in terms.values()} == {torch.float32} == {found.boxes.dtype, found.scores.dtype}
    exact = plain(loss(model, images(1), [target()]))
    assert plain(terms) == pytest.approx(exact, rel=0.1, abs=0.05)


@pytest.mark.slow
def test_the_published_size_trains_one_step_and_predicts():
    config = MaskRCNNConfig(backbone=BackboneConfig(name="resnet50", weights=None))
    model = build_model(config, num_classes=80)
    full = Target(
        torch.tensor([[50.0, 60.0, 300.0, 400.0]]),
        torch.tensor([17]),
        torch.ones(1, 550, 550, dtype=torch.uint8),
        torch.tensor([False]),
        1,
    )
    terms = loss(model.train(), torch.rand(1, 3, 550, 550) * 255, [full])
    sum(terms.values()).backward()
    assert all(value.isfinite() for value in terms.values())
    found = predict(model.eval(), [torch.zeros(3, 480, 640, dtype=torch.uint8)], InferenceConfig(suppression="standard"))[0]
    assert found.masks.shape[1:] == (480, 640)
