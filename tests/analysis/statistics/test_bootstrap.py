"""The accumulation from stored matches is COCOeval's own, for any integer weights of the images."""

from __future__ import annotations

import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from analysis.statistics.bootstrap import AP_NAMES, average_precision, load_matches, resample
from tests.support.results.fake_results import write_matches
from yolact.evaluation.coco import evaluate_to
from yolact.runtime.files import write_json

SIDES = st.sampled_from([4, 20, 31, 33, 70, 96, 130])  # around COCO's limits of area, 32² and 96²
PLACES = st.integers(0, 30)
SCORES = st.sampled_from([0.1, 0.5, 0.5, 0.9])  # ties on purpose
CATEGORIES = st.sampled_from([1, 5, 9])  # 9 stays without ground truth


@st.composite
def data_sets(draw):
    """(annotations, detections) of a few images; some images and classes are empty, some instances are crowds."""
    images = draw(st.integers(1, 4))
    annotations, detections = [], []
    for image in range(1, images + 1):
        for _ in range(draw(st.integers(0, 4))):
            box = [draw(PLACES), draw(PLACES), draw(SIDES), draw(SIDES)]
            crowd = draw(st.integers(0, 4)) == 0
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": draw(st.sampled_from([1, 5])),
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": int(crowd),
                }
            )
            for _ in range(draw(st.integers(0, 2))):  # near it, so that it matches at some thresholds
                shifted = [box[0] + draw(st.integers(0, 3)), box[1], box[2] + draw(st.integers(0, 3)), box[3]]
                detections.append((image, annotations[-1]["category_id"], shifted, draw(SCORES)))
        for _ in range(draw(st.integers(0, 3))):
            box = [draw(PLACES), draw(PLACES), draw(SIDES), draw(SIDES)]
            detections.append((image, draw(CATEGORIES), box, draw(SCORES)))
    if draw(st.booleans()):  # all scores different
        scores = draw(st.permutations(range(len(detections))))
        detections = [(*one[:3], 0.01 * (score + 1)) for one, score in zip(detections, scores, strict=True)]
    weights = draw(st.lists(st.integers(0, 3), min_size=images, max_size=images))
    return images, annotations, detections, weights


def as_coco(images: list[int], annotations: list[dict]) -> dict:
    return {
        "images": [{"id": image, "width": 200, "height": 200, "file_name": f"{image}.png"} for image in images],
        "annotations": [
            {
                **annotation,
                "segmentation": polygon(annotation["bbox"])
                if not annotation["iscrowd"]
                else {"size": [200, 200], "counts": full_rle(annotation["bbox"])},
            }
            for annotation in annotations
        ],
        "categories": [{"id": 1, "name": "one"}, {"id": 5, "name": "five"}, {"id": 9, "name": "nine"}],
    }


def polygon(box: list[int]) -> list[list[int]]:
    x, y, width, height = box
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


def full_rle(box: list[int]) -> list[int]:
    mask = np.zeros((200, 200), np.uint8)
    x, y, width, height = box
    mask[y : y + height, x : x + width] = 1
    runs, value = [], 0
    flat = mask.ravel(order="F")
    while len(flat):
        length = int(np.argmax(flat != value)) if (flat != value).any() else len(flat)
        runs.append(length)
        flat, value = flat[length:], 1 - value
    return runs


def as_records(detections: list[tuple]) -> list[dict]:
    return [
        {"image_id": image, "category_id": category, "bbox": box, "score": score} for image, category, box, score in detections
    ]


def coco_numbers(images: list[int], annotations: list[dict], detections: list[tuple]) -> dict[str, float]:
    """COCOeval's own precisions of boxes."""
    truth = COCO()
    truth.dataset = as_coco(images, annotations)
    with redirect_stdout(StringIO()):
        truth.createIndex()
        found = truth.loadRes(as_records(detections)) if detections else COCO()
        if not detections:
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(AP_NAMES, map(float, evaluation.stats[:6]), strict=True))


def repeated(images: int, annotations: list[dict], detections: list[tuple], weights: list[int]):
    """The data set with each image copied as often as its weight says; copies of an image stand side by side."""
    copies = [(image, copy) for image in range(1, images + 1) for copy in range(weights[image - 1])]
    ids = {pair: 10 * pair[0] + pair[1] for pair in copies}
    many = [
        {**annotation, "image_id": ids[pair]}
        for pair in copies
        for annotation in annotations
        if annotation["image_id"] == pair[0]
    ]
    many = [{**annotation, "id": place + 1} for place, annotation in enumerate(many)]
    found = [(ids[pair], *one[1:]) for pair in copies for one in detections if one[0] == pair[0]]
    return sorted(ids.values()), many, found


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=data_sets())
def test_any_weighting_equals_cocoeval_on_repeated_images(data, tmp_path_factory):
    images, annotations, detections, weights = data
    matches = stored_matches(tmp_path_factory.mktemp("data"), images, annotations, detections)
    if matches is None:
        return
    ties = len({one[3] for one in detections}) < len(detections)
    for counts in ([1] * images, weights):
        if sum(counts) == 0 or (ties and counts is weights):
            continue
        expected = coco_numbers(*repeated(images, annotations, detections, counts))
        found = average_precision(matches, np.array([counts]), tuple(AP_NAMES))
        assert {name: value[0] for name, value in found.items()} == expected


def stored_matches(folder: Path, images: int, annotations: list[dict], detections: list[tuple]):
    """What `yolact.evaluation.coco` stores for boxes; None where it stores none."""
    write_json(folder / "truth.json", as_coco(list(range(1, images + 1)), annotations))
    write_json(folder / "found.json", as_records(detections))
    if not detections:
        return None
    evaluate_to(folder, folder / "truth.json", folder / "found.json")
    return load_matches(folder / "matches.npz", "bbox")


@pytest.mark.slow
def test_a_thousand_resamples_take_a_few_seconds(tmp_path):
    write_matches(tmp_path / "matches.npz", 0.8, seed=0)
    matches = load_matches(tmp_path / "matches.npz")
    started = time.process_time()
    average_precision(matches, resample(len(matches.image_ids)), ("AP", "AP50", "AP75"))
    assert time.process_time() - started < 5


def test_chunks_of_resamples_do_not_change_the_numbers(tmp_path, monkeypatch):
    write_matches(tmp_path / "matches.npz", 0.8, seed=0)
    matches, weights = load_matches(tmp_path / "matches.npz"), resample(40, 7)
    whole = average_precision(matches, weights)["AP"]
    monkeypatch.setattr("analysis.statistics.bootstrap._ELEMENTS_PER_CHUNK", 1)
    np.testing.assert_array_equal(average_precision(matches, weights)["AP"], whole)


@pytest.mark.parametrize("images", [1, 5])
def test_a_resample_draws_as_many_images_as_there_are(images):
    counts = resample(images, 20)
    assert counts.shape == (20, images)
    assert (counts.sum(axis=1) == images).all()
