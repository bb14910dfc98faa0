"""What FCIS and MNC share: the interface, one map of stride 16, proposals, losses per image, draws, votes."""

from contextlib import contextmanager

import pytest
import torch
from torchvision.models.detection.rpn import RegionProposalNetwork

from tests.support.networks import SIZE, loss, predict, random_batch, target
from tests.yolact.models.single_map.tiny import CELLS, TINY_FCIS, TINY_MNC
from yolact.config import BackboneConfig, FCISConfig, InferenceConfig, MNCConfig
from yolact.config.base import ConfigError
from yolact.config.inference import InferenceConfig as Inference
from yolact.inference.export import ExportError, export_model
from yolact.models.backbones import build_backbone
from yolact.models.backbones.backbone import Backbone
from yolact.models.build import build_model
from yolact.models.layers.dilation import dilate
from yolact.runtime.profiling import profiled

EVERYTHING = InferenceConfig(**{**FCISConfig.inference_defaults, "score_threshold": 0.0}, max_detections=7)
TERMS = {
    "fcis": {"objectness", "rpn_box", "class", "mask", "box"},
    "mnc": {"objectness", "rpn_box"}
    | {f"{stage}{name}" for stage in ("", "second_") for name in ("mask", "class", "mask_class", "box")},
}
BOTH = pytest.mark.parametrize("config", [TINY_FCIS, TINY_MNC], ids=["fcis", "mnc"])


def built(config, classes=3, seed=0):
    torch.manual_seed(seed)
    return build_model(config, classes, pretrained=False)


def plain(terms):
    return {name: float(value.detach()) for name, value in terms.items()}


@BOTH
def test_losses_are_named_finite_and_reach_every_weight(config):
    model = built(config).train()
    terms = loss(model, *random_batch(0))
    assert set(terms) == TERMS[config.kind]
    sum(terms.values()).backward()
    assert not [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.isfinite().all()]


@BOTH
@pytest.mark.parametrize(
    ("empty", "reason"),
    [
        (target(()), "no instances"),
        (target([[8, 8, 40, 30]], crowd=[True]), "a crowd alone"),
        (target([[8, 8, 8, 30]]), "a box without area alone"),
    ],
)
def test_an_image_without_anything_to_learn_has_a_finite_loss(config, empty, reason):
    model = built(config).train()
    terms = loss(model, random_batch(0)[0], [empty, empty])
    assert all(value.isfinite() for value in terms.values()), reason
    assert plain(terms)["mask"] == plain(terms)["box"] == plain(terms)["rpn_box"] == 0, reason
    sum(terms.values()).backward()


@BOTH
def test_splitting_a_batch_changes_nothing(config):
    model = built(config).eval()
    images, targets = random_batch(0, images=3)
    whole, total = plain(loss(model, images, targets)), model.assign(targets).counts
    parts = [plain(loss(model, images[part], targets[part], total)) for part in (slice(0, 1), slice(1, 3))]
    assert {name: sum(part[name] for part in parts) for name in whole} == pytest.approx(whole, rel=1e-5)


@BOTH
def test_what_is_drawn_depends_on_the_targets_seed_alone(config):
    model = built(config.replace(proposals=config.proposals.replace(sampled_anchors=8))).eval()
    images, (first, _) = random_batch(0)
    boxes, labels = first.boxes.tolist(), first.labels.tolist()
    torch.manual_seed(1)
    once, state = plain(loss(model, images[:1], [target(boxes, labels, seed=1)])), torch.get_rng_state()
    torch.manual_seed(2)
    assert plain(loss(model, images[:1], [target(boxes, labels, seed=1)])) == once
    assert plain(loss(model, images[:1], [target(boxes, labels, seed=2)])) != once
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


@BOTH
@pytest.mark.parametrize("voting", [True, False])
def test_detections_are_in_pixels_of_each_image(config, voting):
    model = built(config).eval()
    pictures = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 64), (33, 90))]
    for picture, found in zip(pictures, predict(model, pictures, EVERYTHING.replace(mask_voting=voting)), strict=True):
        height, width = picture.shape[1:]
        assert 0 < len(found) <= 7
        assert found.masks.shape == (len(found), height, width) and found.masks.dtype == torch.bool
        assert found.boxes.dtype == torch.float32 and ((found.labels >= 0) & (found.labels < 3)).all()
        assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([width, height, width, height])).all()
        assert (found.scores.diff() <= 0).all()
        if voting:
            columns = found.masks.any(dim=1)
            assert found.boxes[:, 0][columns.any(dim=1)].tolist() == columns.int().argmax(dim=1)[columns.any(dim=1)].tolist()


@BOTH
def test_without_masks_and_without_detections(config):
    model, picture = built(config).eval(), [torch.zeros(3, 20, 30, dtype=torch.uint8)]
    assert predict(model, picture, EVERYTHING.replace(masks=False))[0].masks is None
    assert predict(model, picture, EVERYTHING.replace(score_threshold=1.0))[0].masks.shape == (0, 20, 30)


@BOTH
@pytest.mark.parametrize("suppression", ["fast", "traditional", "cross_class"])
def test_every_suppression_works(config, suppression):
    picture = [torch.randint(0, 256, (3, 40, 30), dtype=torch.uint8)]
    assert len(predict(built(config).eval(), picture, EVERYTHING.replace(suppression=suppression))[0])


@BOTH
def test_every_section_is_entered_once_per_image_or_batch(config):
    model, seen = built(config).eval(), []

    @contextmanager
    def sections(name):
        seen.append(name)
        yield

    with profiled(sections):
        predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], EVERYTHING)
    assert tuple(seen) == model.section_names


@BOTH
def test_under_autocast_losses_and_boxes_stay_in_float32(config):
    model = built(config).eval()
    images, targets = random_batch(0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(model, images, targets)
    assert {value.dtype for value in terms.values()} == {torch.float32}
    found = predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], EVERYTHING.replace(engine={"precision": "bf16"}))[0]
    assert found.boxes.dtype == found.scores.dtype == torch.float32


@BOTH
def test_export_is_refused_in_one_sentence(config, tmp_path):
    with pytest.raises(ExportError, match="can't be exported"):
        export_model(built(config).eval(), tmp_path / "x.onnx", "onnx")


@BOTH
def test_class_layers_are_what_depends_on_the_number_of_classes(config):
    few, more = (built(config, classes).state_dict() for classes in (3, 5))
    assert few.keys() == more.keys()
    differ = {name for name in few if few[name].shape != more[name].shape}
    layers = built(config).class_layers
    assert differ == {name for name in few if name.startswith(layers)}


def test_a_backbone_without_a_stage_to_dilate_is_refused(monkeypatch):
    monkeypatch.setattr("yolact.models.two_stage.single_map.model.build_backbone", lambda *_: Backbone())
    with pytest.raises(ConfigError, match="no last stage to dilate, as fcis needs"):
        built(TINY_FCIS)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2", "darknet53", "resnet_tiny"])
def test_a_dilated_stage_keeps_the_side_and_the_weights(name):
    backbone = build_backbone(BackboneConfig(name=name, weights=None, width=4)).eval()
    before = {key: value.shape for key, value in backbone.state_dict().items()}
    dilate(backbone.last_stage)
    with torch.no_grad():
        *_, c4, c5 = backbone(torch.rand(1, 3, 70, 70))
    assert c4.shape[-2:] == c5.shape[-2:] == (5, 5)
    assert {key: value.shape for key, value in backbone.state_dict().items()} == before


def test_on_a_map_of_copies_dilation_gives_what_the_stride_gave():
    """Where every value stands twice along each side, a step of two cells is the step of one before: centres agree."""
    conv = torch.nn.Conv2d(2, 3, 3, padding=1)
    small = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    expected = conv(small)
    conv.stride = (2, 2)
    dilate(conv)
    copies = small.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(conv(copies)[..., ::2, ::2], expected)


def test_anchors_stand_on_the_centres_of_the_cells():
    model = built(TINY_FCIS)
    anchors = model.rpn.anchors(SIZE, torch.device("cpu"))
    assert len(anchors) == CELLS**2 * 9
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres.unique().tolist() == [8, 24, 40, 56]
    assert len(model.rpn.anchors(550, torch.device("cpu"))) == 35**2 * 9


@pytest.mark.parametrize(("mode", "count"), [("training", 20), ("testing", 20)])
def test_proposals_and_losses_are_those_of_torchvision(mode, count):
    model = built(TINY_FCIS)
    rpn, anchors = model.rpn, model.rpn.anchors(SIZE, torch.device("cpu"))
    generator = torch.Generator().manual_seed(3)
    logits, offsets = torch.randn(len(anchors), generator=generator), torch.randn(len(anchors), 4, generator=generator) * 0.5
    rpn.training = mode == "training"
    decoded = rpn.box_coder.decode_single(offsets, anchors)
    expected, _ = RegionProposalNetwork.filter_proposals(rpn, decoded[None], logits[None], [(SIZE, SIZE)], [len(anchors)])
    found = rpn.proposals(logits, offsets, anchors, SIZE)
    assert len(found) <= count
    torch.testing.assert_close(found, expected[0])


def test_proposals_carry_the_gradient_of_their_offsets():
    model = built(TINY_MNC)
    anchors = model.rpn.anchors(SIZE, torch.device("cpu"))
    logits = torch.arange(len(anchors), dtype=torch.float32, requires_grad=True)
    offsets = torch.zeros(len(anchors), 4, requires_grad=True)
    model.rpn.proposals(logits, offsets, anchors, SIZE).sum().backward()
    assert logits.grad is None and offsets.grad.any(dim=1).sum() > 3


@pytest.mark.parametrize("kind", [FCISConfig, MNCConfig])
def test_what_a_checkpoint_is_predicted_with_by_default(kind):
    assert Inference(**kind.inference_defaults).mask_voting
    assert not kind(backbone=BackboneConfig(freeze_bn=True)).trains_batch_norm
    assert kind().trains_batch_norm
