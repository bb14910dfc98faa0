"""The whole forward pass above the backbone, and the published sizes of everything."""

import numpy as np
import pytest
import torch

from tests.reference.slow_network import SlowNetwork
from tests.support.networks import SIZE, TINY, TINY_FC_MASK, loss, predict, random_batch, tiny_model
from yolact.config import FCMaskConfig, InferenceConfig, LossConfig, YolactConfig
from yolact.config.model.parts import IMAGENET_MEAN, IMAGENET_STD
from yolact.config.presets import PRESETS
from yolact.models.base import resize
from yolact.models.build import build_model
from yolact.models.official.names import to_official


@pytest.fixture(scope="module")
def tiny():
    """A tiny network with weights that leave no ReLU dead, its raw outputs in training mode and the slow ones."""
    model = tiny_model(seed=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    images, _ = random_batch(0, images=2)
    for module in model.backbone.modules():
        module.training = False
    raw = model(images)
    features = model.backbone((images - model.pixel_mean) / model.pixel_std)
    slow = SlowNetwork({name: value.numpy() for name, value in to_official(model).items()})
    pyramids = [slow.pyramid(*(f[i].detach().numpy().astype(np.float64) for f in features)) for i in range(2)]
    return model, raw, slow, pyramids


def close(made, expected):
    np.testing.assert_allclose(made.detach().numpy(), expected, rtol=1e-4, atol=1e-4)


def test_raw_outputs_as_the_slow_path(tiny):
    _model, raw, slow, pyramids = tiny
    for i, levels in enumerate(pyramids):
        heads = [slow.head(level, 3) for level in levels]
        offsets, logits, coefficients = (np.concatenate(part) for part in zip(*heads, strict=True))
        close(raw.dense.box[i], offsets)
        close(raw.dense.logits[i], logits)
        close(raw.dense.parameters[i], coefficients)
        close(raw.context[0][i], slow.prototypes(levels[0]))
        close(raw.semantic[i], slow.semantic(levels[0]))
    assert (raw.context[0] > 0).any() and raw.dense.box.std() > 0.01


def test_pyramid_as_the_slow_path(tiny):
    model, _, _, pyramids = tiny
    images, _ = random_batch(0, images=2)
    levels = model.fpn(model.backbone((images - model.pixel_mean) / model.pixel_std))
    for i, expected in enumerate(pyramids):
        assert [tuple(level.shape[-2:]) for level in levels] == [(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]
        for level, wanted in zip(levels, expected, strict=True):
            close(level[i], wanted)
    assert all(level.min() >= 0 for level in levels[:3]) and min(level.min() for level in levels[3:]) < 0


def test_the_semantic_branch_exists_in_training_only():
    model = tiny_model()
    images, _ = random_batch(0)
    assert model(images).semantic.shape == (2, 3, 8, 8)
    assert model.eval()(images).semantic is None
    assert tiny_model(TINY.replace(loss=LossConfig(semantic=0))).semantic is None


# reference-implementation.md, 1.8: total, backbone, FPN, protonet, head, semantic
COUNTS = [
    ("yolact_base", (50_157_071, 42_500_160, 3_868_672, 2_368_544, 1_399_135, 20_560)),
    ("yolact_im400", (50_157_071, 42_500_160, 3_868_672, 2_368_544, 1_399_135, 20_560)),
    ("yolact_im700", (50_157_071, 42_500_160, 3_868_672, 2_368_544, 1_399_135, 20_560)),
    ("yolact_resnet50", (31_164_943, 23_508_032, 3_868_672, 2_368_544, 1_399_135, 20_560)),
    ("yolact_darknet53", (47_783_087, 40_584_928, 3_409_920, 2_368_544, 1_399_135, 20_560)),
    ("yolact_resnet50_pascal", (30_734_623, 23_508_032, 3_868_672, 2_368_544, 984_235, 5_140)),
    # yolact_plus.md, 8, 16, 18 and 36
    ("yolact_plus_base", (52_571_142, 43_187_561, 3_868_672, 2_477_104, 3_017_245, 20_560)),
    ("yolact_plus_resnet50", (33_766_460, 24_382_879, 3_868_672, 2_477_104, 3_017_245, 20_560)),
]


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "counts"), COUNTS, ids=[row[0] for row in COUNTS])
def test_published_parameter_counts(name, counts):
    with torch.device("meta"):
        model = build_model(PRESETS[name].model, PRESETS[name].num_classes, pretrained=False)
    parts = (model, model.backbone, model.fpn, model.branch, model.head, model.semantic)
    assert tuple(count(part) for part in parts) == counts


@pytest.mark.parametrize(("size", "total"), [(16, 49_316_927), (20, 50_312_687)])
def test_published_fc_mask_parameter_counts(size, total):
    config = YolactConfig().replace(mask_branch=FCMaskConfig(size=size), loss=LossConfig(semantic=0))
    with torch.device("meta"):
        assert count(build_model(config, 80, pretrained=False)) == total


# reference-implementation.md, 1.1: C3, C4, C5, then P6, P7; prototypes
FEATURES = [(550, (69, 35, 18, 9, 5), 138), (400, (50, 25, 13, 7, 4), 100), (700, (88, 44, 22, 11, 6), 176)]


@pytest.mark.parametrize("backbone", ["resnet50", "darknet53", "mobilenet_v2", "resnet18", "resnet_tiny"])
@pytest.mark.parametrize(("size", "sides", "proto"), FEATURES, ids=lambda value: str(value) if isinstance(value, int) else "")
def test_published_feature_sizes(backbone, size, sides, proto):
    name = {"name": backbone, "weights": None}
    config = YolactConfig.from_data({"image_size": size, "backbone": name})
    with torch.device("meta"):
        model = build_model(config, 80, pretrained=False).eval()
        features = model.backbone(torch.zeros(1, 3, size, size))
        levels = model.fpn(features)
        (maps,) = model.branch.context(levels)
    assert tuple(f.shape[-1] for f in features) == sides[:3]
    assert tuple(f.shape[1] for f in features) == model.backbone.channels
    assert tuple(level.shape[-1] for level in levels) == sides
    assert maps.shape == (1, 32, proto, proto)


def test_initial_weights_outside_the_backbone_are_xavier_with_zero_biases():
    model = tiny_model()
    for part in (model.fpn, model.branch, model.head, model.semantic):
        for module in part.modules():
            if isinstance(module, torch.nn.Conv2d):
                fan_in, fan_out = (n * module.weight[0, 0].numel() for n in (module.in_channels, module.out_channels))
                bound = (6 / (fan_in + fan_out)) ** 0.5
                assert module.weight.abs().max() <= bound
                assert module.weight.abs().max() > 0.5 * bound
                assert not module.bias.any()


def test_frozen_batch_norm_stays_put_through_train():
    config = TINY.replace(backbone={"name": "resnet_tiny", "weights": None, "width": 4, "freeze_bn": True})
    model = tiny_model(config).train()
    assert model is not None and model.training
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    before = [norm.running_mean.clone() for norm in norms]
    images, targets = random_batch(1)
    sum(loss(model, images, targets).values()).backward()
    assert norms and all(not norm.training and norm.weight.grad is None and norm.bias.grad is None for norm in norms)
    assert all(torch.equal(norm.running_mean, old) for norm, old in zip(norms, before, strict=True))


def test_pixels_are_normalised_as_published():
    assert IMAGENET_MEAN == (123.68, 116.78, 103.94) and IMAGENET_STD == (58.40, 57.12, 57.38)
    unit = tiny_model(TINY.replace(pixels="unit"))
    assert unit.pixel_mean.flatten().tolist() == [0, 0, 0] and unit.pixel_std.flatten().tolist() == [255] * 3


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (64, 64), (37, 21)], ids=str)
@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK], ids=["prototypes", "fc-mask"])
@pytest.mark.parametrize("threshold", [0.0, 0.999999], ids=["many detections", "no detections"])
def test_predictions_have_the_image_s_size(config, shape, threshold):
    model = tiny_model(config).eval()
    images = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8), torch.zeros(3, 10, 12, dtype=torch.uint8)]
    found = predict(model, images, InferenceConfig(score_threshold=threshold))
    for image, detections in zip(images, found, strict=True):
        n = len(detections)
        assert n == 0 if threshold > 0.5 else n > 0
        assert detections.masks.shape == (n, *image.shape[-2:]) and detections.masks.dtype == torch.bool
        assert detections.boxes.shape == (n, 4) and detections.labels.dtype == torch.int64
        assert detections.scores.tolist() == sorted(detections.scores.tolist(), reverse=True)
        height, width = image.shape[-2:]
        limit = torch.tensor([width, height, width, height])
        assert (detections.boxes >= 0).all() and (detections.boxes <= limit).all()
        assert (detections.prototypes is None) == (config is TINY_FC_MASK)


def test_an_image_predicts_the_same_alone_and_in_a_batch():
    model = tiny_model().eval()
    images = [torch.randint(0, 256, (3, 50, 40), dtype=torch.uint8) for _ in range(3)]
    together = predict(model, images, InferenceConfig(score_threshold=0.2))
    for image, detections in zip(images, together, strict=True):
        alone = predict(model, [image], InferenceConfig(score_threshold=0.2))[0]
        torch.testing.assert_close(alone.scores, detections.scores, rtol=1e-4, atol=1e-5)


def test_predicting_leaves_the_weights_and_batch_norm_alone():
    """Batch-norm statistics neither steer a prediction nor move by it; a predictor puts its model into inference mode."""
    model = tiny_model()
    images = [torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8)]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = predict(model.train(), images, InferenceConfig())[0]
    assert not model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(found.scores, predict(model, images, InferenceConfig())[0].scores)


def test_resizing_is_squashing_without_antialiasing():
    image = torch.arange(12, dtype=torch.uint8).reshape(1, 2, 6).expand(3, 2, 6)
    assert resize(image, 2)[0].tolist() == [[1.0, 4.0], [7.0, 10.0]]  # a 3-fold shrink picks the middle pixel


def test_a_branch_that_rescores_gives_its_scores_to_the_detections(monkeypatch):
    model = tiny_model()
    made = type(model.branch).masks
    monkeypatch.setattr(
        type(model.branch),
        "masks",
        lambda branch, instances, *rest: made(branch, instances, *rest)._replace(scores=instances.scores / 2),
    )
    (found,) = predict(model, [torch.zeros(3, 20, 30, dtype=torch.uint8)], InferenceConfig(score_threshold=0.1))
    assert len(found) and torch.equal(found.mask_scores, found.scores / 2)
