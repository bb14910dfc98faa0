"""What makes training fast changes nothing but rounding, and the breakdown of a step sums to the whole."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._pytree import tree_leaves, tree_map_only

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, random_batch, random_target, tiny_model
from yolact.config import BackboneConfig, TrainingConfig
from yolact.models.backbones import build_backbone
from yolact.models.base import total_counts
from yolact.models.layers import frozen
from yolact.models.layers.frozen import freeze_batch_norm
from yolact.training.breakdown import PARTS, Breakdown, limit
from yolact.training.layout import fast_layout
from yolact.training.loop import train


def terms_and_gradients(model, raw, assignment, counts):
    leaves = tree_map_only(torch.Tensor, lambda value: value.detach().clone().requires_grad_(True), raw)
    terms = model.criterion(leaves, assignment, counts)
    sum(terms.values()).backward()
    return terms, [leaf.grad for leaf in tree_leaves(leaves) if leaf is not None]


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
        raw = model(torch.rand(len(counts), 3, SIZE, SIZE, generator=generator) * 255)
    whole, alone = model.assign(targets), [model.assign([target]) for target in targets]
    assert torch.equal(whole.classes, torch.cat([each.classes for each in alone]))
    assert total_counts(each.counts for each in alone) == whole.counts

    terms, gradients = terms_and_gradients(model, raw, whole, None)
    parts = [
        terms_and_gradients(model, tree_map_only(torch.Tensor, lambda value: value[i : i + 1], raw), each, whole.counts)  # noqa: B023
        for i, each in enumerate(alone)
    ]

    for name, value in terms.items():
        torch.testing.assert_close(value, sum(part[0][name] for part in parts), rtol=2e-6, atol=1e-6)
    for number, value in enumerate(gradients):
        if value is not None:
            torch.testing.assert_close(value, torch.cat([part[1][number] for part in parts]), rtol=1e-5, atol=1e-7)


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
    monkeypatch.setattr("yolact.models.backbones.resnet.folded", lambda conv, norm, x: norm(conv(x)))
    plain = run()

    for made, wanted in zip(folded[0] + folded[1], plain[0] + plain[1], strict=True):
        assert (made - wanted).abs().max() <= 2e-5 * wanted.abs().max()


def test_a_trained_batch_norm_is_not_folded(monkeypatch):
    backbone = build_backbone(BackboneConfig(name="resnet18", weights=None), pretrained=False).train()
    monkeypatch.setattr(frozen, "folded", lambda *arguments: pytest.fail("folded"))
    monkeypatch.setattr("yolact.models.backbones.resnet.folded", lambda *arguments: pytest.fail("folded"))
    backbone(torch.rand(2, 3, SIZE, SIZE))


def test_fast_pointwise_convolutions_compute_the_same():
    conv, images = torch.nn.Conv2d(8, 16, 1, stride=2), torch.rand(2, 8, 9, 9)
    wanted = conv(images)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with fast_layout(conv, "cpu"):
            assert conv.dilation == (2, 2)
            torch.testing.assert_close(conv(images), wanted)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(("channels", "replaced"), [(4, True), (15, True), (16, False)])
def test_narrow_strided_pointwise_convolutions_are_subsampled(channels, replaced):
    """oneDNN's own strided kernel writes past its workspace there (its issue 6035)."""
    conv, images = torch.nn.Conv2d(channels, 8, 1, stride=2), torch.rand(2, channels, 9, 9)
    wanted = conv(images)
    with fast_layout(conv, "cpu"):
        assert conv.stride == ((1, 1) if replaced else (2, 2))
        torch.testing.assert_close(conv(images), wanted)
    assert conv.stride == (2, 2) and not conv._forward_pre_hooks


def test_a_trained_model_has_the_layout_and_dilations_that_it_came_with():
    model = tiny_model()
    before = [(each.dilation, each.weight.is_contiguous()) for each in model.modules() if isinstance(each, torch.nn.Conv2d)]
    train(model, lambda start: iter([random_batch(0)]), TrainingConfig(iterations=1, batch_size=2, lr=1e-4))
    after = [(each.dilation, each.weight.is_contiguous()) for each in model.modules() if isinstance(each, torch.nn.Conv2d)]
    assert after == before


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
