"""The benchmark of encoding in miniature."""

import csv

import numpy as np
import pytest

from benchmarks.common.sized import Size, prepare
from benchmarks.regressions import encoding
from yolact.ops import rle


@pytest.mark.slow
def test_the_command_writes_a_row_for_each_way_and_a_picture(tmp_path, capsys):
    encoding.main(["--tiny", "--repeats", "2", "--threads", "1", "--out", str(tmp_path)])
    rows = list(csv.DictReader((tmp_path / "encoding.csv").open()))
    assert [(row["what"], row["way"]) for row in rows] == [
        ("encoding", "pycocotools"),
        ("encoding", "edges"),
        ("prediction", "no records"),
        ("prediction", "in line"),
        ("prediction", "behind"),
    ]
    assert {float(rows[place]["ratio"]) for place in (0, 3)} == {1} and {row["n"] for row in rows} == {"2"}
    assert [bool(row["hidden"]) for row in rows] == [False] * 4 + [True]
    assert (tmp_path / "encoding.png").stat().st_size > 10_000
    assert "hidden behind the network" in capsys.readouterr().out


def test_what_is_compared_gives_the_same():
    masks = encoding.discs(4, 60, 80)
    assert 0 < masks.mean() < 0.9 and not np.array_equal(masks[0], masks[1])
    assert encoding.by_pycocotools(masks) == rle.encode(masks)
    made = encoding.ways(prepare(Size(detections=3), "cpu", tiny=True))
    assert made["behind"]() == made["in line"]() and len(made["behind"]()) == encoding.IMAGES
