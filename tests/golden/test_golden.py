"""The code still makes what it made when `golden.json` was recorded: the same ids, and the same bytes on the same machine.

Where a kind's output is meant to change, its version goes up, its kind stands in ALLOWED with the reason until the change is
complete, and then the file is recorded anew: `python -m tests.golden.record --out tests/golden/golden.json`.
"""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path

import pytest

from tests.golden.compare import differences, same_machine
from tests.golden.record import TIMED, made_on, processor, record

GOLDEN = Path(__file__).with_name("golden.json")
ALLOWED: dict[str, str] = {}
"""{kind: reason} of kinds whose version went up after the golden file was recorded."""
KINDS = {
    *("train", "predict", "coco", "speed", "prototypes", "responses", "probes", "redundancy", "coefficients", "leakage"),
    *("errors", "stability"),
}


@pytest.fixture
def golden():
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture
def found(golden):
    return copy.deepcopy(golden)


def stage_of(recording, kind, experiment="learned"):
    return next(stage for stage in recording["stages"] if (stage["kind"], stage["experiment"]) == (kind, experiment))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ids_and_bytes_are_the_recorded_ones(golden, tmp_path):
    found = record(tmp_path / "results")
    if not same_machine(golden, found):
        warnings.warn(f"ids alone were compared: recorded on {golden['made_on']}, this is {found['made_on']}", stacklevel=1)
    lines = differences(golden, found, ALLOWED)
    if lines:
        pytest.fail("\n".join([f"{len(lines)} differences to {GOLDEN.name}:", *lines]), pytrace=False)


def test_equal_recordings_do_not_differ(golden, found):
    assert differences(golden, found, {}) == []


def test_the_golden_file_holds_every_kind_and_says_something(golden):
    assert {stage["kind"] for stage in golden["stages"]} == KINDS
    assert all(stage["files"] for stage in golden["stages"])
    timed = {stage["kind"] for stage in golden["stages"] if None in stage["files"].values()}
    assert timed == {TIMED}
    weights = {stage["files"]["weights.pt"] for stage in golden["stages"] if stage["kind"] == "train"}
    assert len(weights) == 5, "YOLACT trained and untrained, fc-mask, one prototype, Mask R-CNN"


def test_a_changed_id_is_seen(golden, found):
    old = stage_of(found, "coco")["id"]
    stage_of(found, "coco")["id"] = "coco-0"
    (line,) = differences(golden, found, {})
    assert line == f"learned · trained · seed 0 · coco: id changed from {old} to coco-0"


def test_changed_bytes_are_seen(golden, found):
    stage_of(found, "coco")["files"]["metrics.json"] = "0" * 64
    (line,) = differences(golden, found, {})
    assert "learned · trained · seed 0 · coco: " in line
    assert "metrics.json has other bytes" in line
    assert "000000000000 now" in line


def test_files_that_are_missing_or_new_are_seen(golden, found):
    files = stage_of(found, "stability", "stability")["files"]
    files["other.csv"] = files.pop("tracks.csv")
    assert [line.rpartition(": ")[2] for line in differences(golden, found, {})] == [
        "tracks.csv is missing",
        "other.csv is new",
    ]


def test_a_missing_stage_is_seen_and_so_is_a_new_one(golden, found):
    stage = stage_of(found, "errors")
    found["stages"].remove(stage)
    assert differences(golden, found, {}) == [f"learned · trained · seed 0 · errors: {stage['id']} is missing"]
    (line,) = differences(found, golden, {})
    assert line.endswith("is not in the golden file")


def test_what_several_variants_share_is_told_once(golden, found):
    changed = stage_of(golden, "train")["id"]
    for stage in found["stages"]:
        if stage["id"] == changed:
            stage["files"]["weights.pt"] = "0" * 64
    (line,) = differences(golden, found, {})
    assert line.startswith("quickstart · baseline · seed 0 · train; ")
    assert " more: " in line


def test_on_another_machine_ids_are_compared_but_not_bytes(golden, found):
    found["made_on"]["processor"]["model"] = "another"
    stage_of(found, "coco")["files"]["metrics.json"] = "0" * 64
    stage_of(found, "speed", "nms")["id"] = "speed-0"
    assert differences(golden, found, {}) == []
    stage_of(found, "coco")["id"] = "coco-0"
    (line,) = differences(golden, found, {})
    assert "id changed" in line


def test_the_id_of_a_timed_stage_is_compared_on_the_same_machine(golden, found):
    stage_of(found, "speed", "nms")["id"] = "speed-0"
    (line,) = differences(golden, found, {})
    assert "speed: id changed" in line


def test_an_allowed_kind_may_change_and_takes_the_ids_below_it_along(golden, found):
    for stage in found["stages"]:
        if stage["kind"] in ("predict", "coco", "errors"):
            stage["id"] = f"{stage['kind']}-0"
        if stage["kind"] == "predict":
            stage["files"]["detections.json"] = "0" * 64
    assert differences(golden, found, {"predict": "for a test"}) == []
    assert any("coco: id changed" in line for line in differences(golden, found, {"errors": "for a test"}))
    stage_of(found, "coco")["files"]["metrics.json"] = "0" * 64
    (line,) = differences(golden, found, {"predict": "for a test"})
    assert "metrics.json has other bytes" in line


def test_an_allowance_for_no_kind_is_refused(golden, found):
    assert differences(golden, found, {"predicted": "a slip"}) == ["allowed: 'predicted' is no kind of the golden file"]


def test_processors_of_one_name_are_told_apart(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx avx512f\n\nprocessor\t: 1\n"
    )
    expected = {"name": "AMD EPYC", "family": "25", "model": "17", "instructions": "avx avx512f"}
    assert processor(cpuinfo) == expected
    assert processor(tmp_path / "none").keys() == {"name"}


def test_what_bytes_depend_on_is_plain_data(golden):
    here = made_on()
    assert json.loads(json.dumps(here)) == here
    assert here.keys() == golden["made_on"].keys()
