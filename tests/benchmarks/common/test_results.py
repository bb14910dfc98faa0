"""Files of a benchmark's results."""

import csv

import pytest
import torch

from analysis.figures.style import new_figure
from benchmarks.common.results import write_csv, write_results
from benchmarks.common.timing import row


def test_rows_are_written_with_what_they_were_made_on(tmp_path):
    path = tmp_path / "new" / "x.csv"
    write_csv(path, [{"what": "a", **row([1.0])}, {"what": "b", "threads": 7}])
    first, second = csv.DictReader(path.open())
    assert list(first) == ["what", "median_ms", "p25_ms", "p75_ms", "n", "hardware", "threads", "torch", "date"]
    assert (first["torch"], first["threads"]) == (str(torch.__version__), str(torch.get_num_threads()))
    assert (second["threads"], second["median_ms"]) == ("7", "") and first["hardware"]


@pytest.mark.parametrize(("draw", "names"), [(None, ["x.csv"]), (lambda rows, hardware: new_figure(1), ["x.csv", "x.png"])])
def test_table_and_figure_share_a_name(tmp_path, draw, names):
    write_results(None, "x", [{"a": 1}], draw)
    write_results(tmp_path / "out", "x", [{"a": 1}], draw)
    assert sorted(path.name for path in tmp_path.rglob("*.*")) == names
