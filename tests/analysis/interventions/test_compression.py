"""How many maps keep the AP: data frames, the sentence and the figure, from made-up matches."""

import numpy as np
import pytest

from analysis.interventions.compression.figures import accuracy_against_m
from analysis.interventions.compression.read import compression, compression_answer, full_accuracy, needed, prototypes_of
from analysis.results.experiment import MissingResult
from analysis.statistics.bootstrap import AP_NAMES, average_precision, load_matches
from analysis.tables.tidy import summary, tidy
from tests.support.results.fake_results import IMAGES, write_matches
from tests.support.results.stored import store
from yolact.runtime.files import write_json

K = 8
FULL = 0.8
SKILLS = {"keep": {1: 0.2, 2: 0.5, 4: 0.62}, "project": {1: 0.4, 2: 0.8, 4: 0.8}}
"""The same skill gives the same matches, hence the same AP."""


def variant_changes(method, m):
    return {"inference.intervention.kind": method, "inference.intervention.m": m}


CHANGES = {"all": {}} | {
    f"kind={method}, m={m}": variant_changes(method, m) for method, skills in SKILLS.items() for m in reversed(list(skills))
}


def write_coco(folder, skill, seed):
    write_matches(folder / "matches.npz", skill, seed, offset=0.01 * seed)
    found = average_precision(load_matches(folder / "matches.npz", "segm"), np.ones((1, IMAGES), np.int64), tuple(AP_NAMES))
    write_json(folder / "metrics.json", {"segm": {name: float(values[0]) for name, values in found.items()}})


def write_train(folder, branch):
    write_json(folder / "model.json", {"model": {"mask_branch": branch}})


def made(root, seeds=(0, 1), branch=None, missing=()):
    runs = {}
    for name, own in CHANGES.items():
        skill = SKILLS[own["inference.intervention.kind"]][own["inference.intervention.m"]] if own else FULL
        for seed in seeds:
            coco = None if (name, seed) in missing else lambda folder, skill=skill, seed=seed: write_coco(folder, skill, seed)
            runs[name, seed] = {"train": lambda folder: write_train(folder, branch or {"k": K}), "coco": coco}
    return store(root, CHANGES, runs)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return made(tmp_path_factory.mktemp("compression"))


@pytest.fixture(scope="module")
def table(experiment):
    return summary(experiment)


def test_rows_ascend_and_are_compared_in_pairs(experiment, table):
    found = compression(experiment, table)
    assert list(zip(found["method"], found["m"], strict=True)) == [(method, m) for method in SKILLS for m in (1, 2, 4)]
    full = full_accuracy(experiment, table)["mean"]
    assert found["kept"].tolist() == pytest.approx((found["mean"] / full).tolist())
    assert found["change"].tolist() == pytest.approx((found["mean"] - full).tolist())
    same = found[(found["method"] == "project") & (found["m"] > 1)]
    assert (same[["change", "low", "high"]] == 0).all(axis=None)
    lost = found[found["method"] == "keep"]
    assert (lost["high"] < 0).all() and (lost["n"] == 2).all()


def test_needed_is_the_fewest_from_which_on_all_keep_it(experiment):
    found = needed(experiment, tidy(experiment))
    assert {method: own["m"].tolist() for method, own in found.groupby("method")} == {"keep": [K, K], "project": [2, 2]}
    everything = needed(experiment, tidy(experiment), share=0.0)
    assert (everything["m"] == 1).all()


def test_a_lucky_small_number_does_not_count(tmp_path, monkeypatch):
    monkeypatch.setitem(SKILLS, "project", {1: FULL, 2: 0.4, 4: FULL})
    experiment = made(tmp_path, seeds=(0,))
    found = needed(experiment, tidy(experiment))
    assert found[found["method"] == "project"]["m"].tolist() == [4]


def test_the_answer_in_one_sentence(experiment):
    said = compression_answer(experiment, tidy(experiment))
    assert "shapes (test) at scale toy, all of 8 most used prototypes and 2 of 8 principal components keep 99 %" in said
    assert "on each of 2 seeds" in said


def test_one_seed_is_said_loudly(tmp_path):
    experiment = made(tmp_path, seeds=(0,))
    assert "ONE SEED" in compression_answer(experiment, tidy(experiment))
    assert "ONE seed" in accuracy_against_m(experiment, summary(experiment)).caption


def test_a_seed_with_a_hole_is_left_out_of_the_count(tmp_path):
    experiment = made(tmp_path, missing={("kind=keep, m=2", 1)})
    found = needed(experiment, tidy(experiment))
    assert found[found["method"] == "keep"]["seed"].tolist() == [0]
    rows = compression(experiment, summary(experiment)).set_index(["method", "m"])
    holed, whole = rows.loc[("keep", 2)], rows.loc[("project", 2)]
    assert (holed["n"], whole["n"], whole["kept"]) == (1, 2, 1.0)
    assert holed["kept"] == pytest.approx(holed["mean"] / (holed["mean"] - holed["change"]))


def test_the_figure_says_what_it_shows(experiment, table):
    picture = accuracy_against_m(experiment, table)
    assert "n = 2 seeds" in picture.caption and "bootstrap over images" in picture.caption
    assert "with all 8 prototypes" in picture.alt and "principal components: " in picture.alt
    assert len(picture.data) == 6 and picture.svg.startswith("<?xml")


def test_without_the_full_ap_there_is_nothing_to_compare_with(tmp_path):
    experiment = made(tmp_path, seeds=(0,), missing={("all", 0)})
    for draw in (compression, accuracy_against_m):
        with pytest.raises(MissingResult, match="all has no mask AP"):
            draw(experiment, summary(experiment))
    with pytest.raises(MissingResult, match="no seed has both"):
        needed(experiment, tidy(experiment))


def test_a_network_without_prototypes_has_no_k(tmp_path):
    with pytest.raises(MissingResult, match="no prototypes"):
        prototypes_of(made(tmp_path, seeds=(0,), branch={"size": 16}))


def test_an_experiment_without_fewer_prototypes(tmp_path):
    experiment = store(tmp_path, {"all": {}}, {("all", 0): {"coco": lambda folder: write_coco(folder, FULL, 0)}})
    with pytest.raises(MissingResult, match="fewer prototypes"):
        compression(experiment, summary(experiment))
    with pytest.raises(MissingResult, match="not part of this run"):
        prototypes_of(experiment)
