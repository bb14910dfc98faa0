"""Mask2Former behind the interface of a model."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.networks import SIZE, TINY_MASK2FORMER, predict, random_batch, target, tiny_model
from yolact.config import BackboneConfig, InferenceConfig, Mask2FormerConfig, TrainingConfig
from yolact.config.base import ConfigError
from yolact.errors import UserError
from yolact.models.base import total_counts
from yolact.models.build import build_model
from yolact.training.loop import Interrupted, train

pytest.importorskip("transformers")

INFERENCE = InferenceConfig(**Mask2FormerConfig.inference_defaults)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_published_size():  # 44 million with ResNet-50, 47 with Swin-T in the paper's table 1
    counts = {}
    for name in ("resnet50", "swin_tiny"):
        with torch.device("meta"):
            model = build_model(Mask2FormerConfig(backbone=BackboneConfig(name=name)), 80, pretrained=False)
        counts[name] = sum(parameter.numel() for parameter in model.parameters())
    assert counts == {"resnet50": 44_023_377, "swin_tiny": 47_421_643}
    assert model.network.class_predictor.out_features == 81 and len(model.network.transformer_module.decoder.layers) == 9


def test_the_parts_are_the_librarys():
    """The library's own model, with a backbone of its own, has the same weights beside the backbone's."""
    from transformers import Mask2FormerForUniversalSegmentation, ResNetConfig

    from yolact.models.box_free.query_network import _library, _settings

    tiny = tiny_model(TINY_MASK2FORMER)
    settings = _settings(_library(), TINY_MASK2FORMER, 3)
    sizes = list(tiny.backbone.channels)
    settings.backbone_config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=sizes,
        depths=[1] * 4,
        layer_type="basic",
        out_features=[f"stage{i}" for i in range(1, 5)],
    )
    whole = Mask2FormerForUniversalSegmentation(settings)
    theirs = {
        name: value.shape
        for name, value in whole.state_dict().items()
        if ".encoder.stages" not in name and ".embedder." not in name
    }
    ours = {
        f"model.{name.replace('pixel_decoder', 'pixel_level_module.decoder')}".replace(
            "model.class_predictor", "class_predictor"
        ): v.shape
        for name, v in tiny.network.state_dict().items()
    } | {f"criterion.{name}": value.shape for name, value in tiny.losses.state_dict().items()}
    assert {name: shape for name, shape in theirs.items() if "pixel_level_module.encoder" not in name} == ours


def test_the_loss_of_an_image_is_the_librarys():
    model = tiny_model(TINY_MASK2FORMER)
    images, targets = random_batch(3, images=1, n=3)
    raw = model.train()(images)
    assert len(raw.classes) == len(raw.masks) == 3 and raw.masks[0].shape == (1, 8, SIZE // 4, SIZE // 4)
    found = model.criterion(raw, model.assign(targets))
    torch.manual_seed(targets[0].seed)
    layers = [{"class_queries_logits": a, "masks_queries_logits": b} for a, b in zip(raw.classes, raw.masks, strict=True)]
    expected = model.losses(
        **layers[-1],
        mask_labels=[targets[0].masks.float()],
        class_labels=[targets[0].labels],
        auxiliary_predictions=layers[:-1],
    )
    for ours, theirs, weight in (("class", "loss_cross_entropy", 2), ("mask", "loss_mask", 5), ("dice", "loss_dice", 5)):
        total = sum(expected[f"{theirs}{layer}"] for layer in ("", "_0", "_1")) * weight
        torch.testing.assert_close(found[ours], total)


def test_the_loss_of_a_batch_is_the_librarys_where_points_do_not_matter():
    """Each map has one value, and masks are empty or full: all points agree but those at the border, where zeros come in."""
    model = tiny_model(TINY_MASK2FORMER)
    _, targets = random_batch(1, images=3, n=2)
    masks = [torch.stack([torch.ones(SIZE, SIZE), torch.zeros(SIZE, SIZE)]).to(torch.uint8)[: 2 - i] for i in range(3)]
    targets = [target(each.boxes[: 2 - i], each.labels[: 2 - i], seed=i) for i, each in enumerate(targets)]
    for each, own in zip(targets, masks, strict=True):
        each.masks.copy_(own)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 8, 4, generator=generator)
    maps = torch.randn(3, 8, 1, 1, generator=generator).expand(-1, -1, 16, 16).contiguous()
    raw = model.train()(torch.zeros(3, 3, SIZE, SIZE))._replace(classes=(logits,), masks=(maps,))
    found = model.criterion(raw, model.assign(targets))
    expected = model.losses(maps, logits, [each.masks.float() for each in targets], [each.labels for each in targets])
    assert found["class"].item() == pytest.approx(2 * expected["loss_cross_entropy"].item(), rel=1e-5)
    assert found["mask"].item() == pytest.approx(5 * expected["loss_mask"].item(), rel=0.02)
    assert found["dice"].item() == pytest.approx(5 * expected["loss_dice"].item(), rel=0.02)


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**31))
def test_a_split_batch_has_the_same_loss(seed):
    model = tiny_model(TINY_MASK2FORMER).train()
    images, targets = random_batch(seed, images=3, n=2, crowds=1)
    torch.manual_seed(seed)
    whole = model.loss(images, model.assign(targets))
    parts = [model.assign(targets[:1]), model.assign(targets[1:])]
    counts = total_counts(part.counts for part in parts)
    split = [model.loss(images[:1], parts[0], counts), model.loss(images[1:], parts[1], counts)]
    assert set(whole) == {"class", "mask", "dice"}
    for name, value in whole.items():
        torch.testing.assert_close(split[0][name] + split[1][name], value, rtol=1e-4, atol=1e-5)


def test_points_depend_on_the_images_seed_alone():
    model = tiny_model(TINY_MASK2FORMER).train()
    images, targets = random_batch(0, images=1, n=3)
    raw, state = model(images), torch.get_rng_state()
    one, again = (model.criterion(raw, model.assign(targets))["mask"] for _ in range(2))
    assert one == again and torch.equal(state, torch.get_rng_state())
    other = target(targets[0].boxes, targets[0].labels, seed=7)
    assert model.criterion(raw, model.assign([other]))["mask"] != one


def test_without_objects_classes_alone_are_learned():
    model = tiny_model(TINY_MASK2FORMER).train()
    images, targets = random_batch(0, n=0)
    terms = model.loss(images, model.assign(targets))
    sum(terms.values()).backward()
    assert terms["mask"] == 0 == terms["dice"] and terms["class"] > 0
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_crowds_change_nothing():
    model = tiny_model(TINY_MASK2FORMER).train()
    images, _ = random_batch(0, images=1)
    crowded, alone = target([[8, 8, 30, 30], [0, 0, 64, 64]], [0, 1], [False, True]), target([[8, 8, 30, 30]], [0])
    assert model.loss(images, model.assign([crowded])) == model.loss(images, model.assign([alone]))


def test_every_weight_learns_and_what_is_not_finite_shows():
    model = tiny_model(TINY_MASK2FORMER.replace(backbone=BackboneConfig(name="resnet_tiny", weights=None, width=16))).train()
    images, targets = random_batch(0)
    sum(model.loss(images, model.assign(targets)).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    images[0] = torch.nan
    assert not torch.isfinite(sum(model.loss(images, model.assign(targets)).values()))


def planted(model, masks, classes, size):
    """Raw outputs of which each query is one mask (q, h, w) of 0 and 1 with certainty, of one class."""
    queries = model.config.query_decoder.queries
    maps = torch.full((1, queries, *masks.shape[1:]), -10.0)
    logits = torch.zeros(1, queries, model.num_classes + 1)
    logits[..., -1] = 30
    for query, (mask, label) in enumerate(zip(masks, classes, strict=True)):
        maps[0, query] = mask * 20.0 - 10
        logits[0, query, label], logits[0, query, -1] = 3.0 + query, 0
    return model.eval()(torch.zeros(1, 3, SIZE, SIZE))._replace(classes=(logits,), masks=(maps,))


def test_detections_of_planted_masks():
    model = tiny_model(TINY_MASK2FORMER)
    masks = torch.zeros(3, 16, 16)
    masks[0, 2:6, 3:9], masks[1, 8:12, 0:16], masks[2, :, :] = 1, 1, 0
    raw = planted(model, masks, [2, 0, 1], 16)
    (found,) = model.postprocess(raw, [(16, 16)], INFERENCE)
    assert found.labels.tolist()[:2] == [0, 2]  # the better one first; an empty mask is no detection
    assert found.boxes[:2].tolist() == [[0, 8, 16, 12], [3, 2, 9, 6]]  # half-open
    assert torch.equal(found.masks[:2].float(), masks[[1, 0]])
    probability = raw.classes[0].softmax(dim=2)[0, 1, 0].item()
    assert found.scores[0].item() == pytest.approx(probability / (1 + torch.e**-10), rel=1e-5)
    assert (found.scores.diff() <= 0).all() and (found.scores > 0.05).all()
    (large,) = model.postprocess(raw, [(32, 64)], INFERENCE)
    assert large.boxes[0].tolist() == [0, 16, 64, 24] and large.masks.shape[1:] == (32, 64)
    (bare,) = model.postprocess(raw, [(16, 16)], INFERENCE.replace(masks=False))
    assert bare.masks is None and torch.equal(bare.boxes, found.boxes)


def test_the_score_is_class_times_mean_probability_inside():
    model = tiny_model(TINY_MASK2FORMER)
    raw = planted(model, torch.zeros(1, 16, 16), [1], 16)
    raw.masks[0][0, 0, :4], raw.masks[0][0, 0, 4:8] = torch.logit(torch.tensor(0.9)), torch.logit(torch.tensor(0.6))
    (found,) = model.postprocess(raw, [(16, 16)], INFERENCE)
    probability = raw.classes[0].softmax(dim=2)[0, 0, 1].item()
    assert found.scores[0].item() == pytest.approx(probability * 0.75, rel=1e-5)
    (strict,) = model.postprocess(raw, [(16, 16)], INFERENCE.replace(mask_threshold=0.7))
    assert strict.scores[0].item() == pytest.approx(probability * 0.9, rel=1e-5) and strict.masks[0].sum() == 64


def test_pictures_of_any_size_and_no_suppression():
    model = tiny_model(TINY_MASK2FORMER)
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    (found,) = predict(model, [image], INFERENCE.replace(score_threshold=0.0))
    assert 0 < len(found) <= 24 and found.masks.shape == (len(found), 50, 70)
    assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([70, 50, 70, 50])).all()
    with pytest.raises(ConfigError, match=r"inference\.suppression 'fast' is not there for Mask2Former.*choose 'none'"):
        predict(model, [image], InferenceConfig())


def batches(start=0):
    while True:
        yield random_batch(start, images=2, n=2)
        start += 1


def test_stopped_and_resumed_gives_the_same_weights(tmp_path):
    config = TrainingConfig(
        iterations=4, batch_size=2, optimizer="adamw", gradient_clip=0.01, warmup_iterations=1, checkpoint_every=1, lr=1e-3
    )
    straight, resumed = tiny_model(TINY_MASK2FORMER), tiny_model(TINY_MASK2FORMER, seed=9)
    train(straight, batches, config)
    steps = []
    with pytest.raises(Interrupted):
        train(
            tiny_model(TINY_MASK2FORMER),
            batches,
            config,
            checkpoint=tmp_path,
            should_stop=lambda: steps.append(0) or len(steps) == 2,
        )
    train(resumed, batches, config, checkpoint=tmp_path)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in straight.state_dict().items())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"channels": 48}, "channels 48 is no multiple of 32"), ({"heads": 6}, "heads 6 does not divide channels 256")],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        Mask2FormerConfig().replace(**changes)


def test_without_the_library_a_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers.models", None)
    with pytest.raises(UserError, match=r"needs transformers and scipy .*pip install 'yolact-workbench\[transformers\]'"):
        tiny_model(TINY_MASK2FORMER)
