"""The fast backend of the evaluation gives pycocotools' numbers and matches, bit by bit, on random and on published sets."""

from __future__ import annotations

from functools import cache
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from tests.support.paths import SHARED
from yolact.data.coco import index
from yolact.evaluation.coco import Evaluation, Rules, curves, evaluate, evaluate_to, match_arrays, per_class
from yolact.evaluation.inputs import IouType
from yolact.evaluation.results import read_records
from yolact.runtime.files import write_json

REFERENCES = SHARED / "data" / "evaluator_refs"
SIDE = 128
IMAGES, CATEGORIES = (3, 1, 20), (9, 2, 5)  # no detection or instance need lie in any of them

# Sides around COCO's limits of area (32² and 96²); against each other, IoUs exactly at thresholds (.5, .75, .9, 1) and beside.
SIDES = st.sampled_from([4, 5, 8, 16, 20, 31, 32, 33, 40, 60, 80, 95, 96, 97])
PLACES = st.sampled_from([0, 0, 0, 1, 2, 10, 30])
# In a row of equal boxes, one between two others has the same IoU with both; which of them it takes decides what is left.
ROW = st.integers(0, 6).map(lambda x: (x, 0, 8, 8))
BOXES = st.one_of(ROW, st.tuples(PLACES, PLACES, SIDES, SIDES))
CELLS = st.tuples(st.sampled_from(IMAGES), st.sampled_from(CATEGORIES[:2]))
FEW_CELLS = st.sampled_from([(3, 9), (3, 9), (1, 9), (3, 2), (20, 5)])
SCORES = st.sampled_from([0, 0.1, 0.5, 0.5, 0.9, 1])
INSTANCES = st.lists(st.tuples(FEW_CELLS, BOXES, st.booleans(), st.sampled_from([None, None, 1024, 9216, 0])), max_size=9)
CHANGES = st.tuples(*[st.sampled_from([0, 0, 0, 1, 2, 5])] * 2)
AIMED = st.lists(st.tuples(st.integers(0, 8), CHANGES, SCORES, st.sampled_from([1] * 12 + [2, 2, 2, 110])), max_size=12)
WILD = st.lists(st.tuples(FEW_CELLS, BOXES, SCORES), max_size=9)


@cache
def rle(box):
    x, y, w, h = box
    mask = np.zeros((SIDE, SIDE), np.uint8, order="F")
    mask[y : y + h, x : x + w] = 1
    encoded = coco_mask.encode(mask)
    return {"size": [SIDE, SIDE], "counts": encoded["counts"].decode()}


def shape(cell, box):
    return {"image_id": cell[0], "category_id": cell[1], "bbox": list(box), "segmentation": rle(box)}


@st.composite
def sets(draw):
    """(annotations, records): crowds, ties in score and IoU, empty classes, more than 100 detections of a class in an image."""
    instances, records = draw(INSTANCES), []
    annotations = []
    for number, (cell, box, crowd, area) in enumerate(instances):
        given_area = {} if area is None else {"area": area}  # of the annotation, whatever its shape
        annotations.append({**shape(cell, box), "id": number, "iscrowd": int(crowd), **given_area})
    for place, (dw, dh), score, copies in draw(AIMED):
        if instances:
            cell, (x, y, w, h), *_ = instances[place % len(instances)]
            records += [{**shape(cell, (x, y, w + dw, h + dh)), "score": score}] * copies
    records += [{**shape(cell, box), "score": score} for cell, box, score in draw(WILD)]
    return annotations, draw(st.permutations(records)) if len(records) < 30 else records


def dataset(annotations):
    return {
        "images": [{"id": image, "width": SIDE, "height": SIDE} for image in IMAGES],
        "annotations": annotations,
        "categories": [{"id": category, "name": f"class {category}"} for category in CATEGORIES],
    }


def assert_equal(fast: Evaluation, reference: Evaluation):
    assert fast.metrics == reference.metrics
    assert fast.precision.tobytes() == reference.precision.tobytes()
    expected = match_arrays([reference])
    found = match_arrays([fast])
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape), name
        assert found[name].tobytes() == array.tobytes(), name
    assert list(per_class([fast])) == list(per_class([reference]))
    assert curves(fast) == curves(reference)


def both(truth, records, *rest):
    return (evaluate(truth, records, *rest, backend=backend) for backend in ("fast", "pycocotools"))


@settings(max_examples=100, deadline=None)
@given(
    sets(), st.sampled_from(get_args(IouType)), st.sampled_from([None, None, [1, 3], [20]]), st.sampled_from(get_args(Rules))
)
def test_random_sets(data, iou_type, image_ids, rules):
    annotations, records = data
    assert_equal(*both(index(dataset(annotations)), records, iou_type, image_ids, rules))


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(sets(), st.sampled_from(get_args(IouType)), st.sampled_from(get_args(Rules)))
def test_many_random_sets(data, iou_type, rules):
    annotations, records = data
    assert_equal(*both(index(dataset(annotations)), records, iou_type, None, rules))


EDGES = {
    "nothing at all": ([], []),
    "no detections": ([((1, 9), (0, 0, 20, 20))], []),
    "no ground truth": ([], [((1, 9), (0, 0, 20, 20))]),
    "different classes": ([((1, 9), (0, 0, 20, 20))], [((1, 2), (0, 0, 20, 20))]),
    "different images": ([((1, 9), (0, 0, 20, 20))], [((3, 9), (0, 0, 20, 20))]),
}


@pytest.mark.parametrize("case", EDGES)
@pytest.mark.parametrize("rules", get_args(Rules))
@pytest.mark.parametrize("image_ids", [None, []])
def test_edges(case, rules, image_ids):
    truth, found = EDGES[case]
    annotations = [{**shape(*each), "id": number, "iscrowd": 0} for number, each in enumerate(truth)]
    records = [{**shape(*each), "score": 0.5} for each in found]
    for iou_type in get_args(IouType):
        assert_equal(*both(index(dataset(annotations)), records, iou_type, image_ids, rules))


def test_boxes_without_area_and_boxes_of_the_largest_size():
    boxes = [[5, 5, 0, 0], [5, 5, 30, 0], [5, 5, 30, 30], [-9e14, -9e14, 9.9e14, 9.9e14], [9.9e14, 9.9e14, 9.9e14, 9.9e14]]
    cell = {"image_id": 1, "category_id": 9}
    annotations = [{**cell, "bbox": box, "area": 9, "id": number, "iscrowd": 0} for number, box in enumerate(boxes)]
    records = [{**cell, "bbox": box, "score": 0.5} for box in boxes]
    fast, reference = both(index(dataset(annotations)), records, "bbox")
    assert fast.matches["matched"][0].all(axis=0).sum() == 3  # those with an area
    assert_equal(fast, reference)


def test_many_classes_of_one_image_do_not_mix():
    cells = [((1, category), (10, 10, 40, 40)) for category in CATEGORIES]
    annotations = [{**shape(*each), "id": number, "iscrowd": 0} for number, each in enumerate(cells)]
    records = [{**shape(*each), "score": score / 10} for score, each in enumerate(cells * 3)]
    assert_equal(*both(index(dataset(annotations)), records, "segm"))


@pytest.mark.skipif(not REFERENCES.is_dir(), reason="../shared/data/evaluator_refs is not there")
@pytest.mark.parametrize("iou_type", get_args(IouType))
@pytest.mark.parametrize("rules", get_args(Rules))
def test_published_results(iou_type, rules):
    records = read_records(REFERENCES / f"instances_val2014_fake{iou_type}100_results.json")
    fast, reference = both(REFERENCES / "instances_val2014_100.json", records, iou_type, None, rules)
    assert 0.2 < fast.metrics["AP"] < 0.6
    assert_equal(fast, reference)


def test_the_files_have_the_same_bytes(tmp_path):
    annotations = [{**shape((1, 9), (0, 0, side, side)), "id": side, "iscrowd": 0} for side in (10, 40)]
    records = [{**shape((image, 9), (1, 0, side, 40)), "score": 0.5} for image in (1, 3) for side in (38, 10, 50)]
    write_json(tmp_path / "truth.json", dataset(annotations))
    write_json(tmp_path / "found.json", records)
    for backend in ("fast", "pycocotools"):
        evaluate_to(tmp_path / backend, tmp_path / "truth.json", tmp_path / "found.json", backend=backend)
    written = sorted(path.name for path in (tmp_path / "fast").iterdir())
    assert written == ["curves.json", "matches.npz", "metrics.json", "per_class.csv"]
    for name in written:
        assert (tmp_path / "fast" / name).read_bytes() == (tmp_path / "pycocotools" / name).read_bytes(), name


@pytest.mark.parametrize(("places", "second_found"), [((0, 2), True), ((2, 0), False)])
def test_of_equal_ious_the_last_annotated_is_taken(places, second_found):
    annotations = [{**shape((1, 9), (x, 0, 8, 8)), "id": x, "iscrowd": 0} for x in places]
    records = [{**shape((1, 9), (x, 0, 8, 8)), "score": score} for x, score in ((1, 0.9), (0, 0.5))]
    for iou_type in get_args(IouType):
        fast, reference = both(index(dataset(annotations)), records, iou_type)
        assert fast.matches["matched"][0, 5].tolist() == [True, second_found]  # at .75; the first overlaps both by 7/9
        assert_equal(fast, reference)
