"""Error budgets as tables, sentences and figures, from made-up stages."""

import json

import pytest

from analysis.measures.errors.figures import ap_by_iou, error_types
from analysis.measures.errors.read import (
    _largest,
    boundary_table,
    error_table,
    largest_error,
    read_ap_by_iou,
    read_errors,
)
from analysis.results.experiment import MissingResult, load
from tests.support.results import fake_results
from yolact.measures.errors import FIXES as TYPES

FIXES = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss", "FP", "FN")
GAINS = {"baseline": (0.05, 0.2, 0.01, 0.0, 0.02, 0.1, 0.08, 0.3), "fc_mask": (0.05, 0.1, 0.01, 0.0, 0.02, 0.25, 0.08, 0.4)}


def write_errors(root, seeds=fake_results.SEEDS, masks=True, defined=True):
    """The made-up experiment with an `errors` stage for two variants, every seed a hundredth more of each delta."""
    fake_results.write(root, failed=None, seeds=seeds)
    path = root / "experiments" / "quickstart-toy.json"
    record = json.loads(path.read_text())
    for run in record["runs"]:
        if run["variant"] not in GAINS:
            continue
        stage_id = f"errors-{run['variant']}-{run['seed']}"
        run["stages"]["errors"] = stage_id
        folder = root / "runs" / stage_id
        (folder / "result").mkdir(parents=True)
        (folder / "stage.json").write_text(json.dumps({"kind": "errors", "inputs": {}, "fields": {}}))
        (folder / "status.json").write_text(json.dumps({"state": "done"}))
        (folder / "result" / "errors.json").write_text(json.dumps(errors(run["variant"], run["seed"], masks, defined)))
    path.write_text(json.dumps(record))
    return load(root, "quickstart", "toy")


def errors(variant, seed, masks, defined):
    gains = [round(gain + 0.01 * seed, 3) if defined else None for gain in GAINS[variant]]
    budget = {"AP50": 0.5 if defined else -1, "delta": dict(zip(FIXES, gains, strict=True)), "count": dict.fromkeys(FIXES, 10)}
    by_iou = {f"{0.5 + 0.05 * step:.2f}": 0.4 - 0.04 * step for step in range(10)}
    boundary = {"metrics": {"AP": 0.22 + 0.01 * seed, "AP50": 0.4, "AP75": 0.2}, "ap_per_iou": by_iou}
    return {**({"segm": {**budget, "boundary": boundary}} if masks else {}), "bbox": budget}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    return write_errors(tmp_path_factory.mktemp("errors"))


def test_the_table_has_means_and_spreads_over_seeds(measured):
    table = error_table(measured).set_index(["variant", "iou_type", "fix"])
    assert len(table) == 2 * 2 * 8
    row = table.loc["fc_mask", "segm", "Miss"]
    assert (row["delta"], row["sd"], row["n"], row["count"]) == pytest.approx((26, 1, 3, 10))
    assert set(read_errors(measured)["AP50"]) == {50}


def test_the_largest_error_is_named(measured):
    sentence = largest_error(measured)
    assert (
        "Among the masks of YOLACT, errors of type Loc (badly placed) cost most: fixing these 10 alone gains 21.0 ± 1.0 points"
        in sentence
    )
    assert "(n = 3 seeds; clearly more than Miss with 11.0)" in sentence
    assert "Miss (missed)" in largest_error(measured, "fc_mask")
    with pytest.raises(MissingResult, match="no error budget of k = 1"):
        largest_error(measured, "k1")


def test_boundary_ap_stands_beside_mask_ap(measured):
    table = boundary_table(measured).set_index("variant")
    assert list(table.index) == ["baseline", "fc_mask"]
    row = table.loc["baseline"]
    assert (row["boundary_AP"], row["boundary_AP_sd"], row["n"]) == pytest.approx((23, 1, 3))
    assert row["lost"] == pytest.approx(row["mask_AP"] - row["boundary_AP"])


def test_figures_say_what_is_seen(measured, tmp_path):
    bars, curves = error_types(measured), ap_by_iou(measured)
    for picture in (bars, curves):
        picture.save(tmp_path)
        assert "shapes (test)" in picture.caption
        assert "n = 3 seeds" in picture.caption
    assert "type Loc" in bars.alt
    assert [axes.get_title(loc="left") for axes in curves.figure.axes] == ["mask AP", "boundary AP"]
    assert set(read_ap_by_iou(measured)["kind"]) == {"mask", "boundary"}


def test_boxes_alone_have_bars_and_no_boundary(tmp_path):
    experiment = write_errors(tmp_path, seeds=(0,), masks=False)
    bars = error_types(experiment)
    assert [axes.get_title(loc="left") for axes in bars.figure.axes] == ["boxes: six types", "in all"]
    assert "ONE seed" in bars.caption
    assert [axes.get_title(loc="left") for axes in ap_by_iou(experiment).figure.axes] == ["mask AP"]
    with pytest.raises(MissingResult, match="no seed has both"):
        boundary_table(experiment)


def test_without_ground_truth_there_is_no_largest_error(tmp_path):
    experiment = write_errors(tmp_path, seeds=(0,), defined=False)
    assert "No error budget of YOLACT" in error_types(experiment).alt


def test_nothing_measured_is_a_reason(experiment):
    for function in (error_types, read_errors, error_table, largest_error):
        with pytest.raises(MissingResult, match="no error budget was measured"):
            function(experiment)
    with pytest.raises(MissingResult, match="no seed has both a mask AP and a boundary AP: not part of this run"):
        boundary_table(experiment)
    assert len(ap_by_iou(experiment).figure.axes) == 1


def test_one_seed_claims_nothing_about_what_comes_next(measured):
    one = read_errors(measured).query("variant == 'baseline' and seed == 0 and iou_type == 'segm'")
    assert "(ONE seed; next is Miss with" in _largest("masks", one[one["fix"].isin(list(TYPES))])
