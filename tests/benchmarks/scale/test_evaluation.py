"""The benchmark of evaluation in miniature; it stops where the backends differ."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.scale import evaluation
from yolact.data.coco import index
from yolact.evaluation.coco import evaluate


def test_the_command_writes_a_row_for_every_step_and_backend(tmp_path):
    evaluation.main(["--tiny", "--repeats", "1", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "evaluation.csv").open()))
    compared = [(kind, step, backend) for kind in ("segm", "bbox") for step in ("evaluate", "core")
                for backend in ("pycocotools", "fast")]  # fmt: skip
    assert [(row["iou_type"], row["step"], row["backend"]) for row in rows] == [
        *compared, ("both", "read", "fast"), ("both", "whole", "fast")]  # fmt: skip
    assert {"median_ms", "p25_ms", "p75_ms", "n", "ratio", "images", "instances", "detections", "hardware"} <= set(rows[0])
    assert {row["n"] for row in rows} == {"1", "6"} and (tmp_path / "evaluation.png").stat().st_size > 10_000
    times = {(row["iou_type"], row["step"], row["backend"]): float(row["median_ms"]) for row in rows}
    assert all(times[kind, "core", backend] < times[kind, "evaluate", backend]
               for kind in ("segm", "bbox") for backend in ("pycocotools", "fast"))  # fmt: skip
    assert {row["images"] for row in rows} == {"10"} and {row["detections"] for row in rows} == {"400"}


def test_the_set_has_what_makes_matching_hard_and_is_the_same_each_time():
    truth, records = evaluation.generate(40, 288, 1600)
    assert (truth, records) == evaluation.generate(40, 288, 1600)
    scores = [(record["image_id"], record["category_id"], record["score"]) for record in records]
    assert any(annotation["iscrowd"] for annotation in truth["annotations"])
    assert len({score for *_, score in scores}) < len(scores)
    metrics = evaluate(index(truth), records, "segm").metrics
    assert all(0.1 < value < 0.9 for value in metrics.values())


@pytest.mark.parametrize("part", ["metrics", "precision", "matched", "score"])
def test_a_difference_is_named(part):
    truth, records = evaluation.generate(10, 72, 400)
    first = evaluate(index(truth), records, "bbox")
    changes = {
        "metrics": {"metrics": {**first.metrics, "AP": np.nextafter(first.metrics["AP"], 1)}},
        "precision": {"precision": first.precision * (1 - 1e-15)},
        "matched": {"matches": {**first.matches, "matched": ~first.matches["matched"]}},
        "score": {"matches": {**first.matches, "score": first.matches["score"] + 1}},
    }
    assert evaluation.differs(first, first) is None
    assert part in evaluation.differs(replace(first, **changes[part]), first)
