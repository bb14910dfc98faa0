"""One result file of every variant and seed as one frame."""

import json

import pytest

from analysis.results.contents import MissingResult
from analysis.results.frames import table
from tests.support.results.stored import store


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def test_rows_of_a_csv_stand_behind_variant_and_seed_and_a_name_twice_is_kept(tmp_path):
    runs = {("a", seed): {"leakage": write("leakage.csv", f"label,leak\n{seed},0.5\n")} for seed in (0, 1)}
    frame = table(store(tmp_path, {"a": {}}, {**runs, ("a", 2): {"leakage": None}}), "leakage", "leakage.csv")
    assert list(frame.columns) == ["variant", "label", "seed", "label_", "leak"]
    assert frame[["seed", "label_"]].to_numpy().tolist() == [[0, 0], [1, 1]]


def test_a_json_file_is_a_row_with_dotted_names(tmp_path):
    runs = {("a", 0): {"probes": write("summary.json", json.dumps({"readout": {"x": 1}, "live": None}))}}
    experiment = store(tmp_path, {"a": {}}, runs)
    (row,) = table(experiment, "probes", "summary.json").to_dict("records")
    assert row["readout.x"] == 1 and row["seed"] == 0
    with pytest.raises(MissingResult, match="stability was not measured: not part of this run"):
        table(experiment, "stability", "summary.json")


def test_a_damaged_file_is_a_hole(tmp_path):
    experiment = store(tmp_path, {"a": {}}, {("a", 0): {"leakage": write("leakage.csv", "")}})
    with pytest.raises(MissingResult, match=r"leakage.csv of leakage-.* cannot be read"):
        table(experiment, "leakage", "leakage.csv")
    assert "1 of 1 stages are done" in experiment._repr_html_()
