"""Tables and figures of stability, from made-up results whose numbers are known."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from analysis.measures.stability.figures import consecutive_iou, film_strip, flicker
from analysis.measures.stability.read import mask_pairs, objects, stability_table, steadiest, steadiness
from analysis.results.experiment import MissingResult, load

STEADY, SHAKY = 0.9, 0.7
"""Mask IoU of successive frames that is planted in the two variants."""
SEQUENCES, FRAMES = 4, 6


def write_stability(folder, iou, lost_at=(), footage=False):
    """Two objects in four sequences, or one of footage; the first object of the first is lost in some frames."""
    tracks, shown = [], []
    for sequence in range(1 if footage else SEQUENCES):
        for thing in range(2):
            before = False
            for frame in range(FRAMES):
                here = not (frame in lost_at and sequence == thing == 0)
                value = iou - 0.01 * sequence - 0.02 * thing * footage if here and before else ""
                if here:
                    tracks.append([sequence, frame, thing, 0, 0.9, 1, 1, 9, 9, thing, value, 0.5 if before else "",
                                   0.1 if before else ""])  # fmt: skip
                shown.append([sequence, frame, thing, 0, 1, int(here), 0.8 + 0.1 * (frame % 2) if here else "", value])
                before = here
    header = "sequence,frame,track,label,score,x1,y1,x2,y2,object,iou,box_jitter,score_change"
    folder.mkdir(parents=True)
    rows = lambda table: "".join(",".join(map(str, row)) + "\n" for row in table)  # noqa: E731
    (folder / "tracks.csv").write_text(header + "\n" + rows(tracks))
    objects_header = "sequence,frame,object,label,visible,found,gt_iou,iou\n"
    (folder / "objects.csv").write_text(objects_header + ("" if footage else rows(shown)))
    motion = "estimated" if footage else "known"
    (folder / "summary.json").write_text(json.dumps({"sequences": SEQUENCES, "motion": motion, "score": 0.3, "means": {}}))
    masks = np.full((6, 20, 30), -1, np.int32)
    masks[:, 5:15, 8:20] = 3
    truth = masks == 3
    truth[:, 5:10] = False
    images = np.full((6, 20, 30, 3), 90, np.uint8)
    np.savez(folder / "film.npz", frames=np.arange(3, 9), images=images, tracks=masks, truth=truth & (not footage))


def experiment(root, seeds=(0, 1, 2), footage=False, done=("yolact", "mask-rcnn"), shaky_by_seed=(0, 0.01, -0.01)):
    runs = []
    for name, iou, lost in (("yolact", STEADY, ()), ("mask-rcnn", SHAKY, (2, 4))):
        for seed in seeds:
            stage = f"stability-{name}{seed}"
            folder = root / "runs" / stage
            folder.mkdir(parents=True)
            (folder / "stage.json").write_text(json.dumps({"kind": "stability", "inputs": {}, "seed": None}))
            state = "done" if name in done else "failed"
            (folder / "status.json").write_text(json.dumps({"state": state, "error": None}))
            if name in done:
                write_stability(folder / "result", iou + (shaky_by_seed[seed] if lost else 0), lost, footage)
            runs.append({"variant": name, "seed": seed, "stages": {"stability": stage}})
    record = {
        "experiment": "stability", "scale": "toy", "title": "", "question": "", "reference": "yolact",
        "data": {"name": "shapes", "split": "test"}, "runs": runs,
        "variants": [{"name": "yolact", "label": "YOLACT"}, {"name": "mask-rcnn", "label": "Mask R-CNN"}],
    }  # fmt: skip
    (root / "experiments").mkdir()
    (root / "experiments" / "stability-toy.json").write_text(json.dumps(record))
    return load(root, "stability", "toy")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return experiment(tmp_path_factory.mktemp("stability"))


def test_the_table_holds_what_was_planted(known):
    table = stability_table(known).set_index(["variant", "measure"])
    mean = table["mean"]
    assert mean["yolact", "iou"] == pytest.approx(STEADY - 0.015)  # sequences lose 0, 1, 2 and 3 hundredths
    assert mean["yolact", "flicker"] == mean["yolact", "gaps"] == 0
    # one object of eight is lost twice in six frames, and returns both times: 4 changes in 40 pairs, 2 of 48 frames
    assert mean["mask-rcnn", "flicker"] == pytest.approx(100 * 4 / 40)
    assert mean["mask-rcnn", "gaps"] == pytest.approx(100 * 2 / 48)
    assert mean["mask-rcnn", "found"] == pytest.approx(100 * 46 / 48)
    assert mean["yolact", "box_jitter"] == pytest.approx(0.5) and mean["yolact", "score_change"] == pytest.approx(0.1)
    assert mean["yolact", "gt_iou"] == pytest.approx(0.85)
    assert mean["yolact", "gt_iou_sd"] == pytest.approx(np.std([0.8, 0.9] * 3, ddof=1))
    assert table.loc[("yolact", "iou"), "n"] == 3 and table.loc[("yolact", "iou"), "count"] == 3 * 40
    row = table.loc[("yolact", "iou")]
    assert STEADY - 0.03 <= row["low"] < row["mean"] < row["high"] <= STEADY
    assert row["sd"] == pytest.approx(0)


def test_networks_are_compared_on_what_both_found(known):
    (row,) = steadiness(known).itertuples()
    both = mask_pairs(known).query("variant == 'mask-rcnn'")
    assert row.count == len(both) == 3 * (40 - 4)
    assert row.own - row.reference == pytest.approx(row.change) == pytest.approx(SHAKY - STEADY)
    assert row.n == 3 and row.method == "seeds" and row.clearly
    assert row.high - row.change == pytest.approx(4.302652729911275 * 0.01 / np.sqrt(3))  # Student's t, 2 degrees of freedom
    assert "The masks of Mask R-CNN are clearly less steady than those of YOLACT" in steadiest(known)
    assert "(-0.200; 95 % interval -0.225 to -0.175, n = 3 seeds)" in steadiest(known)


def test_one_seed_decides_nothing(tmp_path):
    one = experiment(tmp_path, seeds=(0,))
    (row,) = steadiness(one).itertuples()
    assert row.method == "images of one seed" and not row.clearly
    assert "It is undecided whether" in steadiest(one) and "ONE seed" in steadiest(one)


def test_footage_is_shown_and_compared_by_its_tracks(tmp_path):
    shown = experiment(tmp_path, seeds=(0,), footage=True)
    assert objects(shown).empty
    assert set(stability_table(shown)["measure"]) == {"iou", "gaps", "box_jitter", "score_change"}
    (row,) = steadiness(shown).itertuples()
    assert not row.paired and row.count == 1 + 5
    assert row.own == pytest.approx((1 * SHAKY + 5 * (SHAKY - 0.02)) / 6)
    assert row.low < row.change < row.high
    assert "over all tracks of each" in steadiest(shown)
    for draw in (consecutive_iou, flicker, film_strip):
        assert "footage" in draw(shown).caption


@pytest.mark.parametrize("draw", [consecutive_iou, flicker, film_strip])
def test_each_figure_has_files_caption_and_data(draw, known, tmp_path):
    picture = draw(known)
    picture.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{draw.__name__}.{kind}" for kind in ("png", "svg", "csv")}
    assert "shapes" in picture.caption and "4 sequences" in picture.caption
    assert picture.alt and len(picture.data)
    assert len(pd.read_csv(tmp_path / f"{draw.__name__}.csv")) == len(picture.data)


def test_the_film_strip_tells_the_overlap_of_each_frame(known):
    data = film_strip(known).data
    assert data["frame"].tolist() == list(range(3, 9)) * 2
    assert (data["iou"] == 0.5).all()
    assert set(film_strip(known, seed=2).data["seed"]) == {2}
    with pytest.raises(MissingResult, match="seed 7"):
        film_strip(known, seed=7)


def test_holes_are_told_or_left_out(tmp_path):
    half = experiment(tmp_path / "half", done=("yolact",))
    assert set(stability_table(half)["variant"]) == {"yolact"}
    nothing = experiment(tmp_path / "nothing", done=())
    for make in (stability_table, steadiness, steadiest, consecutive_iou, flicker, film_strip):
        with pytest.raises(MissingResult):
            make(nothing)
