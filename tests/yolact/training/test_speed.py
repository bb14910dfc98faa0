"""What makes training fast changes nothing but rounding, and the breakdown of a step sums to the whole."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, random_batch, random_target, tiny_model
from yolact.config import BackboneConfig, TrainingConfig
from yolact.models import frozen
from yolact.models.backbones import build_backbone, freeze_batch_norm
from yolact.models.masks import build_branch
from yolact.models.one_stage.losses import Normalizer, losses, match_target, match_targets
from yolact.structures import RawOutputs
from yolact.training.breakdown import PARTS, Breakdown, limit
from yolact.training.loop import train
from yolact.training.pointwise import prefer_kernels

FIELDS = ("offsets", "logits", "mask_parameters", "maps", "semantic")


def terms_and_gradients(raw, targets, matches, normalizer, model):
    leaves = {name: getattr(raw, name) for name in FIELDS if getattr(raw, name) is not None}
    leaves = {name: value.detach().clone().requires_grad_(True) for name, value in leaves.items()}
    made = RawOutputs(**{name: leaves.get(name) for name in FIELDS}, anchors=raw.anchors)
    terms = losses(made, targets, matches, normalizer, build_branch(model.config.mask_branch, 8), model.config.loss, SIZE)
    sum(terms.values()).backward()
    return terms, {name: leaf.grad for name, leaf in leaves.items()}


def cut(raw, index):
    one = {name: value[index : index + 1] for name in FIELDS if (value := getattr(raw, name)) is not None}
    return RawOutputs(**{name: one.get(name) for name in FIELDS}, anchors=raw.anchors)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=4),
    st.integers(0, 1000),
    st.sampled_from(["all", "few"]),
    st.sampled_from([TINY, TINY_FC_MASK]),
)
def test_a_batch_has_the_losses_and_gradients_of_its_images(counts, seed, masks, config):
    if masks == "few" and config is TINY:
        config = TINY.replace(mask_branch=TINY.mask_branch.replace(max_masks_per_image=3))
    generator = torch.Generator().manual_seed(seed)
    model = tiny_model(config).train()
    targets = [random_target(generator, n, crowds, image_id=image) for image, (n, crowds) in enumerate(counts)]
    with torch.no_grad():
        raw = model.raw(torch.rand(len(counts), 3, SIZE, SIZE, generator=generator) * 255)
    matches = match_targets(targets, raw.anchors, SIZE, config.matching)
    alone = [match_target(target, raw.anchors, SIZE, config.matching) for target in targets]
    for one, other in zip(matches, alone, strict=True):
        assert torch.equal(one.classes, other.classes)
        assert torch.equal(one.objects[one.positive], other.objects[other.positive])
    whole = Normalizer(int(sum(matched.positive.sum() for matched in alone)), len(targets))

    terms, gradients = terms_and_gradients(raw, targets, matches, whole, model)
    parts = [
        terms_and_gradients(cut(raw, index), [target], [matched], whole, model)
        for index, (target, matched) in enumerate(zip(targets, alone, strict=True))
    ]

    for name, value in terms.items():
        torch.testing.assert_close(value, sum(part[0][name] for part in parts), rtol=2e-6, atol=1e-6)
    for name, value in gradients.items():
        torch.testing.assert_close(value, torch.cat([part[1][name] for part in parts]), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_folding_a_frozen_batch_norm_changes_rounding_alone(name, monkeypatch):
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name=name, weights=None), pretrained=False).train()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1)
            module.bias.data.normal_(0, 0.1)
    freeze_batch_norm(backbone)
    images = torch.rand(1, 3, SIZE, SIZE)

    def run():
        backbone.zero_grad()
        features = backbone(images)
        sum(level.square().mean() for level in features).backward()
        return [each.detach() for each in features], [p.grad for p in backbone.parameters() if p.requires_grad]

    folded = run()
    monkeypatch.setattr(frozen, "folded", lambda conv, norm, x: norm(conv(x)))
    monkeypatch.setattr("yolact.models.backbones.folded", lambda conv, norm, x: norm(conv(x)))
    plain = run()

    for made, wanted in zip(folded[0] + folded[1], plain[0] + plain[1], strict=True):
        assert (made - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def test_a_trained_batch_norm_is_not_folded(monkeypatch):
    backbone = build_backbone(BackboneConfig(name="resnet18", weights=None), pretrained=False).train()
    monkeypatch.setattr(frozen, "folded", lambda *arguments: pytest.fail("folded"))
    monkeypatch.setattr("yolact.models.backbones.folded", lambda *arguments: pytest.fail("folded"))
    backbone(torch.rand(2, 3, SIZE, SIZE))


def test_fast_pointwise_convolutions_compute_the_same():
    conv, images = torch.nn.Conv2d(8, 16, 1, stride=2), torch.rand(2, 8, 9, 9)
    wanted = conv(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        prefer_kernels(conv, "cpu")
    finally:
        torch.set_num_threads(threads)
    assert conv.dilation == (2, 2)
    torch.testing.assert_close(conv(images), wanted)


def test_the_breakdown_sums_to_the_window(monkeypatch):
    now = iter([0.0, 3.0, 3.5, 5.0, 7.0, 7.25, 8.0, 8.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    breakdown = Breakdown("cpu")
    for part in PARTS[:-1]:
        breakdown.mark(part)
    seconds = breakdown.close()
    assert seconds == dict(zip(PARTS, (3.0, 0.5, 1.5, 2.0, 0.25, 0.75), strict=True))
    assert limit(seconds) == "limited by the loader: 38 %"
    assert limit({}) == ""


def test_every_step_event_says_where_the_time_went():
    events = []
    began = time.perf_counter()
    config = TrainingConfig(iterations=6, batch_size=2, log_every=2, lr=1e-4)
    train(tiny_model(), lambda start: (random_batch(i) for i in range(start, 6)), config, log=events.append)
    steps = [event for event in events if event["event"] == "step"]
    assert all(set(event["seconds"]) == set(PARTS) and min(event["seconds"].values()) >= 0 for event in steps)
    assert 0 < sum(sum(event["seconds"].values()) for event in steps) <= time.perf_counter() - began + 1e-3
