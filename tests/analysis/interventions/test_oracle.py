"""What parts cost: budget, swaps and noise from made-up evaluations, and coefficients from made-up files."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.interventions.oracle.figures import accuracy_against_noise, noise_answer, oracle_budget
from analysis.interventions.oracle.read import STEPS, budget, budget_answer, noise, swaps
from analysis.measures.coefficients.figures import coefficient_distributions, coefficients_answer, oracle_scatter, subtraction
from analysis.measures.coefficients.read import (
    coefficient_distribution,
    measured_variants,
    oracle_ious,
    read_coefficients,
    sign_use,
)
from analysis.results.experiment import MissingResult
from analysis.statistics.bootstrap import AP_NAMES, average_precision, load_matches
from analysis.tables.tidy import summary
from tests.support.results.fake_results import IMAGES, write_matches
from tests.support.results.stored import store
from yolact.runtime.files import write_json

KIND, PART, ON, STD = (f"inference.intervention.{name}" for name in ("kind", "part", "on", "std"))
ORACLES = {"predicted": 0.6, "coefficients": 0.68, "prototypes": 0.78, "masks": 0.95, "boxes": 0.62, "classes": 0.64}
NOISES = {(None, 0.0): 0.8, ("all", 0.2): 0.7, ("all", 1.0): 0.5, ("one", 0.2): 0.79, ("one", 1.0): 0.72}


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Every part replaced, two seeds."""
    changes = {name: {} if name == "predicted" else {KIND: "oracle", PART: name} for name in ORACLES}
    return evaluated(tmp_path_factory.mktemp("oracle"), changes, ORACLES)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Two levels of noise on all and on one, with k = 8 and with the base's k = 16."""
    changes, skills = {}, {}
    for k in (16, 8):
        for (on, std), skill in NOISES.items():
            name = "predicted" if (k, on) == (16, None) else f"{k} {on} {std}"
            changes[name] = {KIND: "none"} if on is None else {ON: on, STD: std}
            changes[name] |= {} if k == 16 else {"model.mask_branch.k": k}
            skills[name] = skill - 0.05 * (k == 8)
    return evaluated(tmp_path_factory.mktemp("noise"), changes, skills)


def evaluated(root, changes, skills, seeds=(0, 1)):
    """An experiment with made-up matches of these skills."""
    runs = {}
    for name, own in changes.items():
        k = own.get("model.mask_branch.k", 16)
        for seed in seeds:
            runs[name, seed] = {
                "train": lambda folder, k=k: write_json(folder / "model.json", {"model": {"mask_branch": {"k": k}}}),
                "coco": lambda folder, name=name, seed=seed: score(folder, skills[name], seed),
            }
    return store(root, changes, runs)


def score(folder, skill, seed):
    write_matches(folder / "matches.npz", skill, seed=3, offset=0.01 * seed)
    metrics = {}
    for kind in ("segm", "bbox"):
        matches = load_matches(folder / "matches.npz", kind)
        found = average_precision(matches, np.ones((1, IMAGES), np.int64), tuple(AP_NAMES))
        metrics[kind] = {name: float(value[0]) for name, value in found.items()}
    write_json(folder / "metrics.json", metrics)


def mask_ap(experiment, variant):
    seeds = experiment.seeds_of(variant)
    return 100 * sum(experiment.read(variant, seed, "coco", "metrics.json")["segm"]["AP"] for seed in seeds) / len(seeds)


def test_the_budget_is_the_way_from_predicted_to_100(oracle):
    frame = budget(oracle).set_index("part")
    assert frame.index.tolist() == ["predicted", *(name for name, *_ in STEPS)]
    assert frame["gain"].sum() == pytest.approx(100)
    assert frame.loc["predicted", "gain"] == pytest.approx(mask_ap(oracle, "predicted"))
    assert frame.loc["coefficients", "gain"] == pytest.approx(mask_ap(oracle, "coefficients") - mask_ap(oracle, "predicted"))
    assert frame.loc["crop", "gain"] == pytest.approx(mask_ap(oracle, "masks") - mask_ap(oracle, "prototypes"))
    steps = frame.loc[["coefficients", "prototypes", "crop"]]
    assert steps["share"].sum() == pytest.approx(1)
    assert ((steps["low"] < steps["gain"]) & (steps["gain"] < steps["high"])).all()
    assert (frame["n"] == 2).all()
    assert frame["sd"].notna().all()
    assert frame.loc[["predicted", "detection"], ["low", "share"]].isna().all(axis=None)


def test_the_budget_in_a_sentence_and_a_picture(oracle, tmp_path):
    frame, said = budget(oracle).set_index("part"), budget_answer(oracle)
    for name in ("coefficients", "prototypes", "crop"):
        assert f"{frame.loc[name, 'gain']:.1f} [{frame.loc[name, 'low']:.1f}" in said
    assert "2 seeds" in said
    picture = oracle_budget(oracle)
    picture.save(tmp_path)
    assert "shapes (test)" in picture.caption
    assert len(list(tmp_path.iterdir())) == 3


def test_a_budget_without_a_step_says_which(tmp_path):
    kept = {name: {} if name == "predicted" else {KIND: "oracle", PART: name} for name in ORACLES if name != "prototypes"}
    with pytest.raises(MissingResult, match="in the place of the prototypes"):
        budget(evaluated(tmp_path, kept, ORACLES, seeds=(0,)))


def test_swaps_are_the_rows_of_the_parts(oracle):
    frame = swaps(oracle, summary(oracle))
    assert set(frame["part"]) == set(ORACLES) - {"predicted"}
    assert set(frame["metric"]) == {"mask_AP", "box_AP"}
    row = frame[(frame["part"] == "masks") & (frame["metric"] == "mask_AP")].iloc[0]
    assert row["low"] < row["change"] < row["high"]
    assert row["change"] == pytest.approx(mask_ap(oracle, "masks") - mask_ap(oracle, "predicted"))


def test_noise_is_set_against_the_same_networks_without(noisy):
    frame = noise(noisy)
    assert frame.groupby(["k", "on"])["std"].apply(list).tolist() == [[0.0, 0.2, 1.0]] * 4
    assert (frame[frame["std"] == 0][["change", "low", "high"]] == 0).all(axis=None)
    assert (frame[frame["std"] == 0]["kept"] == 1).all()
    row = frame[(frame["k"] == 8) & (frame["on"] == "one") & (frame["std"] == 1)].iloc[0]
    assert row["change"] == pytest.approx(mask_ap(noisy, "8 one 1.0") - mask_ap(noisy, "8 None 0.0"))
    assert row["low"] < row["change"] < row["high"]


def test_noise_in_a_picture(noisy, tmp_path):
    picture = accuracy_against_noise(noisy)
    picture.save(tmp_path)
    assert [axes.get_title(loc="left") for axes in picture.figure.axes[:2]] == ["k = 8", "k = 16"]
    assert picture.alt == noise_answer(noise(noisy))
    assert "noise of 1 on one coefficient" in picture.alt


@pytest.mark.parametrize("function", [budget, noise, oracle_budget, accuracy_against_noise, measured_variants, subtraction])
def test_what_was_not_measured_is_missing(function, experiment):
    with pytest.raises(MissingResult):
        function(experiment)


def test_swaps_that_were_not_made_are_missing(experiment):
    with pytest.raises(MissingResult, match="ground truth"):
        swaps(experiment, pd.DataFrame(columns=["variant", "metric", "mean"]))


K, D, M = 3, 40, 30


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Coefficients of a trained network and of one without prototypes, two seeds: prototype 0 is always added, 1 always
    subtracted, 2 is dead."""
    trained = {("trained", seed): {"coefficients": lambda folder, seed=seed: write(folder, made_up(seed))} for seed in (0, 1)}
    without = {("fc-mask", seed): {"coefficients": lambda folder: write(folder, None)} for seed in (0, 1)}
    return store(tmp_path_factory.mktemp("learned"), {"trained": {}, "fc-mask": {}}, trained | without)


def write(folder, arrays):
    write_json(folder / "summary.json", {"prototypes": K if arrays else 0})
    if arrays:
        np.savez(folder / "coefficients.npz", **arrays)


def made_up(seed, matched=M):
    random = np.random.default_rng(seed)
    values = random.uniform(0.5, 1, (D, K)).astype(np.float32) * np.array([1, -1, 0.2], np.float32)
    iou = random.uniform(0.3, 0.9, matched).astype(np.float32)
    return {"image_ids": np.arange(10), "class_names": np.array(["disc", "ring"]), "image": np.arange(D) // 4,
            "coefficients": values, "activation": np.tile(np.float32([1, 0.5, 0]), (D, 1)),
            "score": random.random(D, np.float32), "label": np.arange(D) % 2, "detection": np.arange(matched),
            "object": np.zeros(matched, int), "box_iou": iou, "iou": iou, "best": values[:matched], "best_iou": iou + 0.05,
            "free": values[:matched], "free_iou": iou + 0.06, "other_iou": iou + 0.02, "limit_iou": iou + 0.1}  # fmt: skip


def test_coefficients_are_those_of_detections_that_find_an_object(learned):
    first, second = read_coefficients(learned, "trained")
    assert (first.seed, second.seed) == (0, 1)
    assert first.values.shape == first.best.shape == (M, K)
    assert first.classes[:3].tolist() == ["disc", "ring", "disc"]
    assert measured_variants(learned) == ["trained"]


def test_the_distribution_of_each_prototype(learned):
    frame = coefficient_distribution(learned, "trained")
    assert len(frame) == 2 * K
    own = frame[frame["seed"] == 0].set_index("prototype")
    assert own["negative"].tolist() == [0, 1, 0]
    assert own["subtracted"][:2].tolist() == [0, 1]
    assert math.isnan(own["subtracted"][2])
    assert own["use"][2] == 0
    assert (own["q05"] <= own["median"]).all()
    assert 0.5 < own["median"][0] < 1


def test_signs_by_class(learned):
    frame = sign_use(learned, "trained")
    assert frame["class"].tolist() == ["all", "disc", "ring"] * 2
    first = read_coefficients(learned, "trained")[0].contribution
    expected = np.abs(first[:, 1]).sum() / np.abs(first).sum()
    assert frame["subtracted"][0] == pytest.approx(expected)
    assert frame["negative"][0] == pytest.approx(1 / 3)


def test_pictures_of_coefficients(learned, tmp_path):
    drawn = [coefficient_distributions(learned, "trained"), subtraction(learned), oracle_scatter(learned, "trained")]
    for picture in drawn:
        picture.save(tmp_path)
        assert "shapes (test)" in picture.caption
        assert len(picture.data)
    assert len(oracle_ious(learned, "trained")) == 2 * M
    assert "1 are subtracted in at least 9 of 10" in drawn[0].alt
    assert "2 seeds" in coefficients_answer(learned, "trained")


def test_a_network_without_prototypes_is_missing(learned):
    with pytest.raises(MissingResult, match="has no prototypes"):
        read_coefficients(learned, "fc-mask")
    with pytest.raises(MissingResult, match="has no prototypes"):
        coefficient_distributions(learned, "fc-mask")


def test_detections_that_find_nothing_are_missing(tmp_path):
    runs = {("untrained", 0): {"coefficients": lambda folder: write(folder, made_up(0, matched=0))}}
    with pytest.raises(MissingResult, match="finds an object"):
        oracle_scatter(store(tmp_path, {"untrained": {}}, runs), "untrained")
