import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_yolact
from yolact.config import InferenceConfig
from yolact.ops.nms import best, cross_class_nms, fast_nms, suppress

SIZE = 550
METHODS = ("fast", "standard", "traditional", "cross_class")


def slow(boxes, scores, config):
    """The slow path's survivors (anchor, class, score) for the suppression that the config names."""
    boxes, scores = np.asarray(boxes, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    common = {"iou_threshold": config.nms_iou, "score_threshold": np.float32(config.score_threshold)}
    caps = {"top_k": config.pre_nms_top_k}
    if config.suppression == "fast":
        second = config.second_score_threshold
        return slow_yolact.fast_nms(boxes, scores, max_detections=config.max_detections, second=second, **common, **caps)
    if config.suppression == "cross_class":
        kept = slow_yolact.cross_class_nms(boxes, scores, **common, **caps)
        return kept[: config.max_detections] if config.cap_cross_class else kept
    size = SIZE if config.suppression == "traditional" else None
    return slow_yolact.greedy_nms(boxes, scores, size, max_detections=config.max_detections, **common)


def check(boxes, scores, config):
    boxes, scores = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.as_tensor(scores, dtype=torch.float32)
    kept = suppress(boxes, scores, config, SIZE)
    expected = slow(boxes, scores, config)
    assert list(zip(kept.anchors.tolist(), kept.labels.tolist(), strict=True)) == [(p, c) for p, c, _ in expected]
    np.testing.assert_array_equal(kept.scores.numpy(), np.array([s for _, _, s in expected], dtype=np.float32))
    assert kept.scores.dtype == torch.float32 and kept.anchors.dtype == kept.labels.dtype == torch.int64
    return kept


def random_case(seed, p, classes, levels=None):
    """Boxes in clusters, many overlapping, some outside the image; scores with ties where `levels` is given."""
    rng = np.random.default_rng(seed)
    centres = rng.uniform(-0.2, 1.2, (max(1, p // 6), 2))[rng.integers(0, max(1, p // 6), p)] + rng.normal(0, 0.03, (p, 2))
    sides = rng.uniform(0.05, 0.3, (p, 2))
    scores = rng.random((p, classes)) ** 3
    if levels:
        scores = np.round(scores * levels) / levels
    return np.concatenate([centres - sides / 2, centres + sides / 2], 1), scores


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    p=st.integers(1, 60),
    classes=st.integers(1, 6),
    levels=st.sampled_from([None, 3, 8]),
    iou=st.sampled_from([0.3, 0.5, 0.7]),
    top_k=st.sampled_from([5, 200]),
    cap=st.sampled_from([3, 100]),
    switch=st.booleans(),
)
def test_as_the_slow_path(method, seed, p, classes, levels, iou, top_k, cap, switch):
    config = InferenceConfig(
        suppression=method,
        nms_iou=iou,
        pre_nms_top_k=top_k,
        max_detections=cap,
        second_score_threshold=switch,
        cap_cross_class=switch,
    )
    check(*random_case(seed, p, classes, levels), config)


@pytest.mark.parametrize("method", METHODS)
def test_at_the_published_sizes(method):
    """More candidates than both caps hold."""
    boxes, scores = random_case(0, 220, 12)
    kept = check(boxes, scores, InferenceConfig(suppression=method))
    assert len(kept.anchors) == 100 or method == "cross_class"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("boxes", "scores"),
    [
        pytest.param([(0.1, 0.1, 0.5, 0.5)], [[0.9, 0.1]], id="one anchor"),
        pytest.param([(0.1, 0.1, 0.5, 0.5)] * 3, [[0.01, 0.02]] * 3, id="nothing above the threshold"),
        pytest.param([(0.1, 0.1, 0.5, 0.5)] * 4, [[0.9, 0.1]] * 4, id="duplicates"),
        pytest.param([(0.1, 0.1, 0.5, 0.5)] * 2, [[0.9, 0.0], [0.0, 0.9]], id="equal scores, other classes"),
        pytest.param([(0.0, 0.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.25)], [[0.9], [0.8]], id="overlap of exactly one half"),
        pytest.param([(-3, -3, 0.4, 0.4), (-2.9, -3, 0.4, 0.4)], [[0.9], [0.8]], id="outside the image"),
        pytest.param([(-3, -3, -1, -1), (0.1, 0.1, 0.5, 0.5)], [[0.9, 0.2], [0.3, 0.9]], id="left of the image"),
        pytest.param([(0.2, 0.2, 0.20001, 0.20001), (0.2, 0.2, 0.6, 0.6)], [[0.9], [0.8]], id="a point and a box"),
        pytest.param([(0, 0, 1, 1), (0.3, 0, 1.3, 1), (0.6, 0, 1.6, 1)], [[0.9], [0.8], [0.7]], id="a chain"),
        pytest.param([(0.1, 0.1, 0.5, 0.5)], [[0.05]], id="a score at the threshold"),
    ],
)
def test_plain_cases(method, boxes, scores):
    check(boxes, scores, InferenceConfig(suppression=method))


def test_the_chain_tells_fast_from_standard():
    """The middle box goes in both; only Fast NMS lets it still remove the last."""
    boxes = [(0, 0, 1, 1), (0.3, 0, 1.3, 1), (0.6, 0, 1.6, 1)]
    kept = {
        m: check(boxes, [[0.9], [0.8], [0.7]], InferenceConfig(suppression=m)).anchors.tolist() for m in ("fast", "standard")
    }
    assert kept == {"fast": [0], "standard": [0, 2]}


def test_traditional_removes_at_equality_and_counts_pixels_inclusively():
    """Two boxes of 9 x 9 px (10 x 10 counted inclusively) 10/3 apart in x overlap by 1/2 counted so, by less without."""
    apart = 10 / 3
    boxes = torch.tensor([(0, 0, 9, 9), (apart + 1e-4, 0, 9 + apart + 1e-4, 9), (apart - 1e-4, 0, 9 + apart - 1e-4, 9)]) / SIZE
    for other, stays in ((1, [0, 1]), (2, [0])):
        scores = torch.tensor([[0.9], [0.8]])
        assert check(boxes[[0, other]], scores, InferenceConfig(suppression="traditional")).anchors.tolist() == stays
        assert check(boxes[[0, other]], scores, InferenceConfig(suppression="standard")).anchors.tolist() == [0, 1]


def test_traditional_removes_at_an_overlap_of_exactly_one_half():
    """10 x 10 px over 10 x 5 px, counted inclusively, at a size that binary fractions give exactly."""
    boxes, scores = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 4]]) / 512, torch.tensor([[0.9], [0.8]])
    assert suppress(boxes, scores, InferenceConfig(suppression="traditional"), 512).anchors.tolist() == [0]


def test_equal_confident_scores_keep_the_order_of_anchors():
    """Softmax rounds confident scores to exactly 1; then the first anchor stays, as in the official stable sort."""
    p = 300
    boxes = torch.tensor([[0.1, 0.1, 0.5, 0.5]]).repeat(p, 1) + torch.linspace(0, 0.3, p)[:, None]
    kept = check(boxes, torch.ones(p, 1), InferenceConfig())
    assert kept.anchors[0] == 0 and kept.anchors.tolist() == sorted(kept.anchors.tolist())


@pytest.mark.parametrize("method", ["standard", "traditional"])
def test_many_classes_far_outside_the_image_dont_meet(method):
    """Class offsets of a batched NMS must not push one class onto another, nor cost precision."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(-40, 0, (80, 2))
    boxes = np.concatenate([corner, corner + 40], 1).astype(np.float32)
    kept = check(boxes, np.eye(80) * 0.9, InferenceConfig(suppression=method))
    assert len(kept.anchors) == 80


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.integers(1, 900), st.integers(1, 40), st.integers(1, 30), st.integers(0, 2**31))
def test_the_best_come_in_order_and_of_equal_ones_the_first(rows, length, count, levels, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(-1, levels, (rows, length), generator=generator) / levels
    value, index = best(scores, count)
    expected = scores.sort(dim=1, descending=True, stable=True)
    assert torch.equal(value, expected.values[:, :count]) and torch.equal(index, expected.indices[:, :count])


@pytest.mark.parametrize("method", [fast_nms, cross_class_nms])
@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([0.0, 0.3, 0.99]), st.integers(0, 2**31))
def test_static_shapes_absent_survivors_last(method, seed, anchors, threshold, top_k):
    """The number of survivors follows from the sizes and the caps only; `present` cuts off the absent ones."""
    boxes, scores = (torch.tensor(each, dtype=torch.float32) for each in random_case(seed, anchors, 4, levels=12))
    config = InferenceConfig(score_threshold=threshold, pre_nms_top_k=1 + top_k % 70, max_detections=15)
    kept = method(boxes, scores, scores.amax(dim=1) > threshold, config)
    candidates = min(anchors, config.pre_nms_top_k) * (4 if method is fast_nms else 1)
    assert len(kept.scores) == len(kept.anchors) == len(kept.labels)
    assert len(kept.scores) == (min(candidates, 15) if method is fast_nms or config.cap_cross_class else candidates)
    there = kept.scores >= 0
    assert there.tolist() == sorted(there.tolist(), reverse=True)
    for trimmed, whole in zip(kept.present(), kept, strict=True):
        assert torch.equal(trimmed, whole[: int(there.sum())])


@pytest.mark.parametrize("suppression", ["standard", "traditional"])
def test_greedy_methods_take_the_best_pairs_of_each_level(suppression):
    boxes = torch.arange(5.0)[:, None] * 0.2 + torch.tensor([0.0, 0.0, 0.1, 0.1])  # none overlaps another
    scores = torch.tensor([[0.9, 0.8], [0.7, 0.1], [0.6, 0.2], [0.3, 0.4], [0.35, 0.05]])
    config = InferenceConfig(suppression=suppression, score_threshold=0.15, level_top_k=2)
    kept = suppress(boxes, scores, config, 100, levels=(3, 2))
    assert list(zip(kept.anchors.tolist(), kept.labels.tolist(), strict=True)) == [(0, 0), (0, 1), (3, 1), (4, 0)]
    everything = suppress(boxes, scores, config.replace(level_top_k=None), 100, levels=(3, 2))
    assert len(everything.anchors) == 8
