"""The fast backend of the evaluation gives pycocotools' numbers and matches, bit by bit, on random and on published sets."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from yolact.data.coco import index
from yolact.evaluation import Evaluation, Rules, curves, evaluate, evaluate_to, match_arrays, per_class_csv
from yolact.evaluation_input import IouType
from yolact.files import write_json
from yolact.records import read_records

REFERENCES = Path(__file__).resolve().parents[3] / "shared" / "data" / "evaluator_refs"
SIDE = 128
IMAGES, CATEGORIES = (3, 1, 20), (9, 2, 5)  # no detection or instance need lie in any of them

# Sides around COCO's limits of area (32² and 96²); against each other, IoUs exactly at thresholds (.5, .75, .9, 1) and beside.
SIDES = st.sampled_from([4, 5, 8, 16, 20, 31, 32, 33, 40, 60, 80, 95, 96, 97])
PLACES = st.sampled_from([0, 0, 0, 1, 2, 10, 30])
BOXES = st.tuples(PLACES, PLACES, SIDES, SIDES)
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
    assert per_class_csv([fast]) == per_class_csv([reference])
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
