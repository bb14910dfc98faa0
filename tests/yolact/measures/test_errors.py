"""errors.json: its format, its agreement with the coco stage, and faults in the files."""

import json

import pytest

from tests.support.declared import assert_as_declared
from tests.support.error_scenes import random_set
from yolact.errors import UserError
from yolact.evaluation.coco import METRICS, evaluate_files
from yolact.evaluation.tide import FIXES
from yolact.measures.errors import MEASURE, ErrorsConfig
from yolact.measures.errors.measure import measure


@pytest.fixture
def files(tmp_path):
    data, records = random_set(0, crowds=0.2)
    paths = tmp_path / "annotations.json", tmp_path / "detections.json"
    for path, content in zip(paths, (data, records), strict=True):
        path.write_text(json.dumps(content))
    return paths


def measured(folder, files, masks=True, **config):
    folder.mkdir()
    measure(folder, *files, masks, ErrorsConfig(**config))
    if masks:
        assert_as_declared(MEASURE, folder)
    return (folder / "errors.json").read_bytes()


def test_the_file_and_its_agreement_with_the_coco_stage(files, tmp_path):
    found = json.loads(measured(tmp_path / "out", files))
    for evaluation in evaluate_files(*files):
        budget = found[evaluation.iou_type]
        assert budget["AP50"] == pytest.approx(evaluation.metrics["AP50"], abs=1e-12)
        assert tuple(budget["delta"]) == tuple(budget["count"]) == FIXES
        if evaluation.iou_type == "segm":
            boundary = budget["boundary"]
            assert tuple(boundary["metrics"]) == METRICS
            assert list(boundary["ap_per_iou"]) == [f"{iou:.2f}" for iou in evaluation.iou_thresholds]
            assert boundary["metrics"]["AP"] == pytest.approx(sum(boundary["ap_per_iou"].values()) / 10)
            assert boundary["metrics"]["AP"] <= evaluation.metrics["AP"]
    assert set(found) == {"segm", "bbox"}


def test_boxes_alone(files, tmp_path):
    found = json.loads(measured(tmp_path / "out", files, masks=False))
    assert set(found) == {"bbox"}
    assert "boundary" not in found["bbox"]


def test_the_band_s_width_is_a_field(files, tmp_path):
    narrow, wide = (json.loads(measured(tmp_path / str(b), files, boundary=b))["segm"] for b in (0.02, 0.2))
    assert narrow["boundary"]["metrics"]["AP"] < wide["boundary"]["metrics"]["AP"]
    assert narrow["delta"] == wide["delta"]


def test_the_same_files_give_the_same_bytes(files, tmp_path):
    assert measured(tmp_path / "one", files) == measured(tmp_path / "two", files)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"category_id": 9}, "category_id 9"),
        ({"bbox": [1, 2, -3, 4]}, "negative side"),
        ({"segmentation": None}, "segmentation"),
    ],
)
def test_a_broken_record_is_named(files, tmp_path, record, message):
    records = json.loads(files[1].read_text())
    files[1].write_text(json.dumps([*records, {**records[0], **record}]))
    with pytest.raises(UserError, match=f"record {len(records)}: .*{message}"):
        measured(tmp_path / "out", files)
    assert not list((tmp_path / "out").iterdir())
