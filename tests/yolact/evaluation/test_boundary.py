"""Boundary AP against a slow computation of its definition and against faster-coco-eval."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.reference import slow_matching
from tests.support.error_scenes import SIDE, dataset, random_set, thing
from tests.support.paths import SHARED
from yolact.evaluation.boundary import band, boundary_ap, eroded
from yolact.evaluation.coco import METRICS
from yolact.evaluation.inputs import prepare_detections, prepare_ground_truth
from yolact.ops import rle

REFERENCES = SHARED / "data" / "evaluator_refs"


def measured(data, records, fraction=0.02):
    return boundary_ap(prepare_ground_truth(data, "segm"), prepare_detections(data, records, "segm"), fraction)


def slow_band(mask, reach):
    """Pixel by pixel: set, with something unset within reach, the outside of the image being unset."""
    height, width = mask.shape
    result = np.zeros_like(mask, bool)
    for y, x in zip(*np.nonzero(mask), strict=True):
        at_border = min(x, y, width - 1 - x, height - 1 - y) < reach
        result[y, x] = at_border or not mask[y - reach : y + reach + 1, x - reach : x + reach + 1].all()
    return result


def slow_iou(a, b, reach):
    """The smaller of mask and boundary IoU of two (H, W) masks."""
    pairs = [(a, b), (slow_band(a, reach), slow_band(b, reach))]
    return min((one & other).sum() / max((one | other).sum(), 1) for one, other in pairs)


def slow_ap(data, records, threshold, reach):
    """AP over all sizes at one IoU threshold, without crowds, in plain loops."""
    decoded = {id(each): rle.decode(each["segmentation"], SIDE, SIDE) for each in [*data["annotations"], *records]}
    values = []
    for category in {each["category_id"] for each in data["annotations"]}:
        truth = [each for each in data["annotations"] if each["category_id"] == category]
        own = sorted((each for each in records if each["category_id"] == category), key=lambda each: -each["score"])
        taken, points, true = set(), [], 0
        for rank, record in enumerate(own, start=1):
            ious = [(slow_iou(decoded[id(record)], decoded[id(each)], reach), n) for n, each in enumerate(truth)
                    if each["image_id"] == record["image_id"] and n not in taken]  # fmt: skip
            if ious and max(ious)[0] >= threshold:
                taken.add(max(ious)[1])
                true += 1
            points.append((true / len(truth), true / rank))
        values.append(np.mean([max([p for r, p in points if r >= at - 1e-9], default=0) for at in np.linspace(0, 1, 101)]))
    return float(np.mean(values))


@settings(max_examples=60, deadline=None)
@given(mask=arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12))), fraction=st.sampled_from([0.01, 0.1, 0.2, 1.0]))
def test_the_band_is_what_a_slow_look_finds(mask, fraction):
    reach = max(1, round(fraction * math.hypot(*mask.shape)))
    found = rle.decode(band(rle.encode(mask[None])[0], fraction), *mask.shape)
    assert (found == slow_band(mask, reach)).all()
    assert ((mask & ~found) == eroded(mask.astype(np.uint8), reach)).all()


@pytest.mark.parametrize(
    ("fraction", "width"),
    [(0.02, 2), (0.001, 1), (0.05, 5), (1.0, 10)],
    ids=["2 % of 90.5", "at least one", "5 %", "all"],
)
def test_the_width_of_the_band(fraction, width):
    square = rle.decode(band(thing(1, 1, 20, 20, 20, 20)["segmentation"], fraction), SIDE, SIDE)
    assert square[30, 20:40].sum() == 2 * width


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_what_slow_loops_find(seed):
    data, records = random_set(seed, images=6)
    found = measured(data, records, fraction=0.03)["ap_per_iou"]
    for threshold in (0.5, 0.75, 0.9):
        assert found[f"{threshold:.2f}"] == pytest.approx(slow_ap(data, records, threshold, reach=3), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.3]), st.sampled_from([1, 6]), st.sampled_from([0.01, 0.03, 0.06]))
def test_numbers_are_those_on_the_matches_of_pycocotools(seed, crowds, decimals, fraction):
    data, records = random_set(seed, crowds, absent=True, decimals=decimals, images=5)
    found = measured(data, records, fraction)
    truth, detections = prepare_ground_truth(data, "segm"), prepare_detections(data, records, "segm")
    numbers, ap_per_iou = slow_matching.boundary_numbers(truth, detections, fraction, band)
    assert list(found["metrics"].values()) == numbers.tolist()
    assert list(found["ap_per_iou"].values()) == ap_per_iou


def test_perfect_masks_score_one_and_shifted_ones_less_than_by_their_area():
    data = dataset([thing(1, 1, 10, 10, 40, 40)])
    assert measured(data, [thing(1, 1, 10, 10, 40, 40, score=0.5)])["metrics"]["AP"] == pytest.approx(1)
    shifted = measured(data, [thing(1, 1, 11, 10, 40, 40, score=0.5)])["ap_per_iou"]
    # mask IoU 39/41 = .951; of the bands' 304 pixels each, 2 wide, 228 agree: 228/380 = .60
    assert [iou for iou, ap in shifted.items() if ap > 0] == ["0.50", "0.55", "0.60"]


def test_crowds_are_met_by_mask_iou_alone():
    data = dataset([thing(1, 1, 2, 2, 20, 20), thing(1, 1, 30, 30, 30, 30, iscrowd=1)])
    within = [thing(1, 1, 2, 2, 20, 20, score=0.5), thing(1, 1, 40, 40, 9, 9, score=0.9)]
    assert measured(data, within)["metrics"]["AP"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("annotations", "records", "ap"),
    [([], [], -1), ([], [thing(1, 1, 2, 2, 9, 9, score=0.5)], -1), ([thing(1, 1, 2, 2, 9, 9)], [], 0)],
    ids=["nothing at all", "no ground truth", "no detections"],
)
def test_empty_sets(annotations, records, ap):
    found = measured(dataset(annotations), records)
    assert found["metrics"]["AP"] == ap
    assert set(found["ap_per_iou"].values()) == {ap}


# faster-coco-eval 1.8.0, COCOeval_faster(iouType="boundary"), in the order of METRICS
GOLDEN = [0.05932593, 0.12706271, 0.03327833, 0.05932593, -1, -1, 0.12116402, 0.18783069, 0.18783069, 0.18783069, -1, -1]
PUBLISHED_SET = [0.226394, 0.37750108, 0.22557985, 0.38737403, 0.2723674, 0.07554378, 0.1872255, 0.3126523, 0.31404312,
                 0.46944986, 0.34054348, 0.10387037]  # fmt: skip


def test_faster_coco_eval_says_so_too():
    data, records = random_set(9, crowds=0.3)
    found = measured(data, records, 0.06)["metrics"]
    assert [found[name] for name in METRICS] == pytest.approx(GOLDEN, abs=1e-7)


@pytest.mark.skipif(not REFERENCES.is_dir(), reason="../shared/data/evaluator_refs is not there")
def test_published_example_results():
    data = json.loads((REFERENCES / "instances_val2014_100.json").read_text())
    records = json.loads((REFERENCES / "instances_val2014_fakesegm100_results.json").read_text())
    found = measured(data, records)["metrics"]
    assert [found[name] for name in METRICS] == pytest.approx(PUBLISHED_SET, abs=1e-7)
