"""The roofline in miniature, and the counts that it stands on."""

import csv

import pytest
import torch

from benchmarks.common.counting import Work, WorkCounter
from benchmarks.engines import roofline

A, B = torch.ones(100, 50), torch.ones(50, 30)
IMAGE, KERNEL = torch.ones(1, 3, 10, 12), torch.ones(4, 3, 3, 3)


@pytest.mark.slow
def test_the_command_writes_every_section_and_a_picture(tmp_path):
    roofline.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "roofline.csv").open()))
    sections = ["matrix product", "copy", "preprocess", "backbone", "fpn", "protonet", "head", "nms", "assembly", "whole"]
    assert [(row["precision"], row["section"]) for row in rows] == [(p, s) for p in ("fp32", "bf16") for s in sections]
    assert {row["engine"] for row in rows} == {"eager"}
    assert {"device", "gflop", "mbyte", "flop_per_byte", "median_ms", "p25_ms", "p75_ms", "n", "gflop_per_s", "gbyte_per_s",
            "bound_ms", "achieved", "bound_by", "hardware", "threads", "torch", "date"} <= set(rows[0])  # fmt: skip
    found = {row["section"]: row for row in rows if row["precision"] == "fp32"}
    assert {row["n"] for row in rows} == {"2"}
    assert (found["matrix product"]["achieved"], found["copy"]["bound_by"]) == ("1.0", "memory")
    whole = sum(float(row["gflop"]) for name, row in found.items() if name not in ("matrix product", "whole"))
    assert float(found["whole"]["gflop"]) == pytest.approx(whole, abs=1e-5) and whole > 0
    assert (tmp_path / "roofline.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("work", "flops", "moved"),
    [
        (lambda: A @ B, 2 * 100 * 50 * 30, 4 * (100 * 50 + 50 * 30 + 100 * 30)),
        (lambda: A.view(50, 100).t()[3:], 0, 0),  # views move nothing
        (lambda: A.relu(), 0, 4 * 2 * 5000),
        (lambda: A.relu_(), 0, 4 * 2 * 5000),  # read and written, in the same place
        (lambda: torch.conv2d(IMAGE, KERNEL, padding=1), 2 * 4 * 3 * 9 * 120, 4 * (360 + 108 + 480)),
        (lambda: torch.nn.functional.interpolate(IMAGE, scale_factor=2, mode="bilinear"), 0, 4 * (360 + 4 * 360)),
    ],
    ids=["product", "view", "relu", "relu in place", "convolution", "upsampling"],
)
def test_work_is_counted(work, flops, moved):
    counter = WorkCounter()
    with torch.inference_mode(), counter("part"):
        work()
    assert counter.found == {"part": Work(flops, moved)}


def test_a_section_entered_twice_adds_up_and_others_stay_apart():
    counter = WorkCounter()
    for name in ("a", "b", "a"):
        with counter(name):
            A.relu()
    A.relu()
    assert counter.found == {"a": Work(0, 80_000), "b": Work(0, 40_000)}


@pytest.mark.parametrize(
    ("work", "bound", "by"),
    [(Work(1000, 10), 10, "arithmetic"), (Work(100, 1000), 20, "memory"), (Work(0, 5), 0.1, "memory")],
)
def test_the_bound_is_the_slower_of_arithmetic_and_memory(work, bound, by):
    assert roofline._bound(work, rates=(100, 50)) == (bound, by)
