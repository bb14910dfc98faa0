"""Matrix NMS, greedy NMS of masks, peaks, maskness. Numbers in comments are sections of the fact sheets on SOLO and SOLOv2."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import slow_solo
from yolact.config import InferenceConfig, MatrixNMSConfig
from yolact.config.base import ConfigError
from yolact.ops.mask_nms import greedy, maskness, matrix_decay, overlaps, peaks
from yolact.ops.nms import suppress

GAUSSIAN, LINEAR = MatrixNMSConfig(), MatrixNMSConfig(kernel="linear")
EXAMPLE = ([{1, 2, 3, 4}, {2, 3, 4, 5}, {4, 5}, {1, 2, 3, 4}], [0, 0, 0, 1], [0.9, 0.8, 0.7, 0.6])


def drawn(sets, width=8):
    """Masks (q, 1, width) of sets of pixels 1..width in a row."""
    return torch.tensor([[[pixel in chosen for pixel in range(1, width + 1)]] for chosen in sets]).reshape(-1, 1, width)


def decayed(masks, labels, scores, config=GAUSSIAN):
    iou = overlaps(masks, torch.as_tensor(labels))
    return torch.as_tensor(scores, dtype=torch.float32) * matrix_decay(iou, config)


def test_the_worked_example():  # SOLOv2 5
    sets, labels, scores = EXAMPLE
    iou = overlaps(drawn(sets), torch.tensor(labels))
    assert iou[0, 1].item() == pytest.approx(3 / 5) and iou[0, 2].item() == pytest.approx(1 / 5)
    assert iou[1, 2].item() == pytest.approx(2 / 4) and not iou[:, 3].any() and not iou.tril().any()
    assert iou.amax(dim=0).tolist() == pytest.approx([0, 0.6, 0.5, 0])  # |m1 and m2| / |m1 or m2| = 3/5 of m2, 2/4 of m3
    gaussian, linear = decayed(drawn(sets), labels, scores), decayed(drawn(sets), labels, scores, LINEAR)
    assert gaussian.tolist() == pytest.approx([0.9, 0.38940, 0.64618, 0.6], abs=1e-5)
    assert gaussian.argsort(descending=True).tolist() == [0, 2, 3, 1]
    assert linear.tolist() == pytest.approx([0.9, 0.32, 0.56, 0.6], abs=1e-5)
    assert greedy(iou, 0.5).tolist() == [True, False, True, True]


def test_three_equal_masks_stay_finite():  # SOLOv2 5.5
    masks, scores = drawn([{1, 2}] * 3), [0.9, 0.8, 0.7]
    assert decayed(masks, [0] * 3, scores).tolist() == pytest.approx([0.9, 0.1083, 0.0947], abs=1e-4)
    assert decayed(masks, [0] * 3, scores, LINEAR).tolist() == pytest.approx([0.9, 0, 0], abs=1e-6)
    assert greedy(overlaps(masks, torch.zeros(3)), 0.5).tolist() == [True, False, False]


@pytest.mark.parametrize("config", [GAUSSIAN, LINEAR], ids=["gaussian", "linear"])
@pytest.mark.parametrize("count", [0, 1])
def test_few_masks(config, count):
    masks = drawn([{1, 2}][:count])
    assert decayed(masks, [0] * count, [0.5] * count, config).tolist() == [0.5] * count
    assert greedy(overlaps(masks, torch.zeros(count)), 0.5).tolist() == [True] * count


def random_case(seed, q=7, classes=2):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(q, 4, 5, generator=generator) < torch.rand(q, 1, 1, generator=generator)
    if q > 3:
        masks[3] = masks[0]
    scores = torch.rand(q, generator=generator).sort(descending=True).values
    return masks, torch.randint(0, classes, (q,), generator=generator), scores


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 9), st.sampled_from(["gaussian", "linear"]), st.sampled_from([0.5, 2.0, 8.0]))
def test_as_the_slow_path(seed, q, kernel, sigma):
    masks, labels, scores = random_case(seed, q)
    sets = [slow_solo.pixels(mask.tolist()) for mask in masks]
    expected = slow_solo.matrix_nms(sets, labels.tolist(), scores.tolist(), kernel, sigma)
    made = decayed(masks, labels, scores, MatrixNMSConfig(kernel=kernel, sigma=sigma))
    assert made.tolist() == pytest.approx(expected, rel=1e-4, abs=1e-6)
    iou = overlaps(masks, labels)
    for threshold in (0.0, 0.3, 0.5):
        assert greedy(iou, threshold).nonzero()[:, 0].tolist() == slow_solo.greedy(sets, labels.tolist(), threshold)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([GAUSSIAN, LINEAR]))
def test_properties(seed, config):  # SOLOv2 8.2
    masks, labels, _ = random_case(seed)
    iou = overlaps(masks, labels)
    decay = matrix_decay(iou, config)
    assert ((decay >= 0) & (decay <= 1)).all()
    for label in labels.unique():
        assert decay[labels == label][0] == 1  # the best of its class
    assert torch.equal(matrix_decay(overlaps(masks, 1 - labels), config), decay)  # ids of classes don't matter
    apart = matrix_decay(overlaps(masks, torch.arange(len(labels))), config)
    assert (apart == 1).all()
    more = torch.cat([masks, masks[:1]]), torch.cat([labels, torch.tensor([9])])  # a mask of another class
    assert torch.equal(matrix_decay(overlaps(*more), config)[:-1], decay)
    disjoint = torch.eye(4, dtype=torch.bool).reshape(4, 2, 2)
    assert (matrix_decay(overlaps(disjoint, torch.zeros(4)), config) == 1).all()


def test_peaks():  # SOLO 5.1
    scores = torch.tensor([[[0.5, 0.6, 0.1], [0.7, 0.65, 0.2], [0.3, 0.8, 0.75]]])
    assert sorted(peaks(scores, "corner").flatten().tolist()) == pytest.approx([0] * 5 + [0.5, 0.6, 0.7, 0.8])
    assert peaks(scores, "peak").flatten().nonzero().tolist() == [[7]]
    assert torch.equal(peaks(scores, "none"), scores)
    random = torch.rand(3, 6, 5, generator=torch.Generator().manual_seed(0))
    around = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]
    for method, neighbours in (("corner", [(0, -1), (-1, 0), (-1, -1)]), ("peak", around)):
        expected = [slow_solo.peaks(each, neighbours) for each in random.tolist()]
        assert torch.equal(peaks(random, method), torch.tensor(expected))


def test_maskness():  # SOLO 5.4
    soft = torch.tensor([[[0.9, 0.8, 0.6, 0.3]], [[0.1, 0.2, 0.3, 0.4]]])
    values = maskness(soft, soft > 0.5)
    assert values.tolist() == pytest.approx([0.76667, 0], abs=1e-5)
    assert 0.5 * values[0].item() == pytest.approx(0.38333, abs=1e-5)


@pytest.mark.parametrize("suppression", ["matrix", "greedy_mask"])
def test_models_that_find_boxes_first_refuse(suppression):
    with pytest.raises(ConfigError, match=f"inference.suppression '{suppression}' compares masks") as refused:
        suppress(torch.rand(3, 4), torch.rand(3, 2), InferenceConfig(suppression=suppression))
    assert refused.value.field == "inference.suppression"


def test_defaults_are_no_fields_of_plain_data():
    assert not {"matrix", "peaks", "maskness"} & InferenceConfig().to_data().keys()
    changed = InferenceConfig(matrix=LINEAR, peaks="peak", maskness=False)
    assert InferenceConfig.from_data(changed.to_data()) == changed
    assert changed.essence()["matrix"] == {"kernel": "linear"}
