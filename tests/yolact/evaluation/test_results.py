"""Records in COCO's result format: the round trip keeps masks exactly, boxes to 0.001 pixel and the ranking."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from yolact.evaluation.results import RecordError, from_records, read_records, to_records
from yolact.structures import Detections

CATEGORY_IDS = [3, 90, 7]


def some_detections(scores, height=6, width=9):
    n = len(scores)
    generator = torch.Generator().manual_seed(n)
    corners = torch.rand(n, 4, generator=generator).sort(dim=1).values[:, [0, 1, 2, 3]]
    boxes = corners * torch.tensor([width, height, width, height])
    return Detections(
        boxes=boxes,
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.randint(0, 3, (n,), generator=generator),
        masks=torch.rand(n, height, width, generator=generator) > 0.5,
    )


@given(st.lists(st.floats(0, 1, width=32), max_size=8))
def test_round_trip_through_json(scores):
    detections = some_detections(sorted(scores, reverse=True))
    records = json.loads(json.dumps(to_records(detections, 5, CATEGORY_IDS)))
    back = from_records(records, CATEGORY_IDS, 6, 9)
    assert torch.equal(back.scores, detections.scores)
    assert torch.equal(back.labels, detections.labels)
    assert torch.equal(back.masks, detections.masks)
    assert torch.allclose(back.boxes, detections.boxes, atol=2e-3)
    assert all(record["image_id"] == 5 for record in records)


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=8))
def test_scores_keep_their_ranking(scores):
    written = [record["score"] for record in to_records(some_detections(scores), 0, CATEGORY_IDS)]
    assert np.array_equal(np.argsort(written, kind="stable"), np.argsort(np.float32(scores), kind="stable"))
    assert len(set(written)) == len(set(np.float32(scores)))


def test_a_record_reads_as_coco_has_it():
    mask = torch.zeros(1, 4, 5, dtype=torch.bool)
    found = Detections(torch.tensor([[1.0, 0.5, 3.25, 4.0]]), torch.tensor([0.1]), torch.tensor([1]), mask)
    assert to_records(found, 12, CATEGORY_IDS) == [
        {
            "image_id": 12,
            "category_id": 90,
            "score": 0.1,
            "bbox": [1.0, 0.5, 2.25, 3.5],
            "segmentation": {"size": [4, 5], "counts": "d0"},
        }
    ]


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=8))
def test_mask_scores_make_the_round_trip(scores):
    detections = replace(some_detections([0.5] * len(scores)), mask_scores=torch.tensor(scores, dtype=torch.float32))
    records = json.loads(json.dumps(to_records(detections, 5, CATEGORY_IDS)))
    assert torch.equal(from_records(records, CATEGORY_IDS, 6, 9).mask_scores, detections.mask_scores)


def test_without_mask_scores_records_have_none():
    records = to_records(some_detections([0.5, 0.4]), 5, CATEGORY_IDS)
    assert all("mask_score" not in record for record in records)
    assert from_records(records, CATEGORY_IDS, 6, 9).mask_scores is None


def test_reading_puts_the_best_first():
    records = to_records(some_detections([0.2, 0.9, 0.5]), 0, CATEGORY_IDS)
    assert from_records(records, CATEGORY_IDS, 6, 9).scores.tolist() == pytest.approx([0.9, 0.5, 0.2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 4}, "record 1: category_id 4"),
        ({"segmentation": {"size": [6, 9], "counts": "d0"}}, "record 1: the segmentation has counts for 20 pixels"),
    ],
)
def test_a_record_that_does_not_fit_is_named(change, message):
    records = to_records(some_detections([0.9, 0.5]), 0, CATEGORY_IDS)
    records[1] |= change
    with pytest.raises(RecordError, match=message):
        from_records(records, CATEGORY_IDS, 6, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot read"), ("{", "not a JSON file"), ("{}", "list of records"), ("[1]", "record 0: expected an object")],
)
def test_a_file_that_holds_no_records_is_named(tmp_path, content, message):
    path = tmp_path / "detections.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordError, match=f"detections.json.*{message}"):
        read_records(path)
