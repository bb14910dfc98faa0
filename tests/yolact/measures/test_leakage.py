"""Leakage, merged neighbours and localisation failure on hand-made scenes."""

import csv
import json

import numpy as np
import pytest
import torch

from tests.support.declared import assert_as_declared
from tests.support.networks import TINY, TINY_FC_MASK, tiny_model
from yolact.config import InferenceConfig
from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit, Instances
from yolact.data.patches import Patches
from yolact.data.synthetic.shapes import generate_shapes
from yolact.measures.context import Look
from yolact.measures.leakage import MEASURE, LeakageConfig
from yolact.measures.leakage.measure import COLUMNS, matched_pairs, measure, rows_of
from yolact.measures.leakage.worst import KEPT, Worst
from yolact.structures import Detections

SIZE = 40


def rectangle(x1, y1, x2, y2):
    mask = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def scene(*objects, crowd=()):
    """Objects as (label, x1, y1, x2, y2)."""
    boxes = torch.tensor([o[1:] for o in objects], dtype=torch.float32).reshape(-1, 4)
    masks = torch.stack([rectangle(*o[1:]) for o in objects]) if objects else torch.zeros(0, SIZE, SIZE)
    flags = torch.tensor([i in crowd for i in range(len(objects))], dtype=torch.bool)
    return Instances(boxes, torch.tensor([o[0] for o in objects], dtype=torch.int64), Patches.of(masks), flags)


def found(*detections):
    """Detections as (label, box, mask rectangle)."""
    return Detections(
        boxes=torch.tensor([d[1] for d in detections], dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(detections)),
        labels=torch.tensor([d[0] for d in detections], dtype=torch.int64),
        masks=torch.stack([rectangle(*d[2]).bool() for d in detections]) if detections else torch.zeros(0, SIZE, SIZE).bool(),
    )


def rows(truth, detections):
    return rows_of(*matched_pairs(detections, truth), truth, InferenceConfig())


A, B = (0, 0, 10, 10), (10, 0, 20, 10)


@pytest.mark.parametrize(
    ("mask", "leak", "same", "merged", "failed"),
    [
        (A, 0.0, 0.0, 0.0, 0),  # exactly the object
        ((0, 0, 12, 10), 20 / 120, 20 / 120, 1.0, 0),  # over the seam: all that the box holds of the neighbour
        ((0, 0, 10, 12), 20 / 120, 0.0, 0.0, 0),  # onto the ground
        ((8, 0, 20, 10), 100 / 120, 100 / 120, 1.0, 1),  # the neighbour instead
    ],
)
def test_what_a_mask_takes_in_beside_its_object(mask, leak, same, merged, failed):
    row, other = rows(scene((0, *A), (0, *B)), found((0, (0, 0, 12, 10), mask)))
    assert row["leak"] == pytest.approx(leak) and row["leak_same"] == pytest.approx(same) and row["leak_other"] == 0
    assert row["merged"] == pytest.approx(merged) and row["failed"] == failed
    assert (row["found"], other["found"]) == (1, 0) and "leak" not in other


def test_another_class_is_told_from_the_same_and_a_crowd_is_no_row():
    truth = scene((0, *A), (1, *B), (0, 0, 10, 10, 20), crowd=(2,))
    (row, _) = rows(truth, found((0, A, (0, 0, 15, 12))))
    size = 15 * 12
    assert row["leak_other"] == pytest.approx(50 / size)
    assert row["leak_same"] == pytest.approx(20 / size)  # the crowd's pixels are its class's
    assert row["merged"] is None and row["neighbours"] == 0


def test_neighbours_are_of_the_class_and_touch_the_box():
    truth = scene((0, 0, 0, 10, 10), (0, 5, 0, 15, 10), (0, 30, 30, 40, 40), (1, 0, 0, 10, 10))
    first, second, far, other = rows(truth, found())
    assert [row["neighbours"] for row in (first, second, far, other)] == [1, 1, 0, 0]
    assert first["neighbour_iou"] == pytest.approx(50 / 150)


def test_nothing_annotated_and_empty_masks():
    assert rows(scene(), found((0, A, A))) == []
    (row,) = rows(scene((0, *A)), found((0, A, (0, 0, 0, 0))))
    assert row["failed"] == 1 and "leak" not in row


def test_only_the_worst_are_kept_worst_first(tmp_path):
    worst, truth, detections = Worst(), scene((0, *A)), found((0, A, A))
    values = np.random.RandomState(0).permutation(40) / 40
    for image_id, value in enumerate(values):
        worst.offer(image_id, torch.zeros(3, SIZE, SIZE, dtype=torch.uint8), detections, 0, truth, 0, {"leak": value})
    worst.write(tmp_path / "worst.npz")
    with np.load(tmp_path / "worst.npz", allow_pickle=False) as arrays:
        kept = [float(arrays[f"leak_{i}_value"]) for i in range(KEPT)]
        assert kept == sorted(values, reverse=True)[:KEPT]
        assert f"leak_{KEPT}_value" not in arrays and "merged_0_value" not in arrays
        assert arrays["leak_0_image"].shape[:2] == arrays["leak_0_mask"].shape == arrays["leak_0_truth"].shape


@pytest.mark.parametrize("config", [TINY, TINY_FC_MASK], ids=["prototypes", "fc-mask"])
def test_the_stage_writes_a_row_per_object_the_same_every_time(config, tmp_path):
    generate_shapes(tmp_path / "shapes", ShapesConfig(train=1, val=3, test=1))
    split = CocoSplit(tmp_path / "shapes" / "val", tmp_path / "shapes" / "annotations" / "instances_val.json")
    look = Look(tiny_model(config, 4).eval(), split, InferenceConfig(score_threshold=0.0), "cpu")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        measure(tmp_path / name, look, LeakageConfig(images=3))
    table = list(csv.DictReader((tmp_path / "a" / "leakage.csv").read_text(encoding="utf-8").splitlines()))
    assert tuple(table[0]) == COLUMNS
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert_as_declared(MEASURE, tmp_path / "a")
    assert summary["objects"] == len(table) == sum(int((~split.instances(i).crowd).sum()) for i in split.image_ids)
    assert summary["found"] == sum(row["found"] == "1" for row in table)
    for file in ("leakage.csv", "worst.npz", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
