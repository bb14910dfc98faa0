"""The benchmark of suppression in miniature, and the scenes that it makes."""

import csv

import pytest

from benchmarks.engines import nms


def test_the_command_writes_a_row_for_each_method_and_a_picture(tmp_path, capsys):
    nms.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "nms.csv").open()))
    assert {(row["sweep"], row["method"]) for row in rows} == {(s, m) for s in nms.TINY_SWEEPS for m in nms.METHODS}
    assert {"device", "objects", "anchors", "classes", "above", "candidates", "kept", "median_ms", "p25_ms", "p75_ms", "n",
            "ratio", "hardware", "threads", "torch", "date"} <= set(rows[0])  # fmt: skip
    assert all(int(row["kept"]) > 0 and row["n"] == "2" for row in rows)
    assert {float(row["ratio"]) for row in rows if row["method"] == "standard"} == {1}
    assert (tmp_path / "nms.png").stat().st_size > 10_000
    assert "NMS" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(("objects", "clusters"), [(0, 0), (1, 1), (5, 5), (1000, 10)])
def test_a_scene_has_as_many_anchors_above_the_threshold_as_its_objects_draw(objects, clusters):
    boxes, scores = nms.scene(objects, anchors=10 * nms.CLUSTER + 7, classes=8)
    above = int((scores.amax(dim=1) > 0.05).sum())
    assert 0.9 * clusters * nms.CLUSTER <= above <= clusters * nms.CLUSTER
    assert (boxes[:, :2] <= boxes[:, 2:]).all() and boxes.min() >= 0 and boxes.max() <= 1
    assert (scores >= 0).all() and (scores.sum(dim=1) <= 1).all()


def rows(*points):
    """(above, fast ms, standard ms)"""
    return [
        {"sweep": "objects", "above": above, "method": name, "median_ms": time}
        for above, fast, standard in points
        for name, time in (("fast", fast), ("standard", standard))
    ]


@pytest.mark.parametrize(
    ("points", "even", "words"),
    [
        ([(10, 4, 1), (1000, 4, 16)], 100, "as long at about 100 anchors"),  # a straight line on logarithmic axes
        ([(10, 4, 1), (100, 4, 4), (1000, 4, 16)], 100, "as long"),  # met at a measured point
        ([(10, 4, 1), (1000, 4, 3)], None, "Standard NMS is the faster one"),
        ([(10, 1, 4), (1000, 1, 16)], None, "Fast NMS is the faster one"),
    ],
)
def test_the_crossover_lies_where_both_take_as_long(points, even, words):
    assert nms.crossover(rows(*points)) == (even if even is None else pytest.approx(even))
    assert words in nms.finding(rows(*points))
