"""The sense of place: tables, pictures and the sentence, from made-up probes whose numbers are known."""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest

from analysis.measures.probes.figures import activation_by_place, border_profile, drawn_prototypes, figure_five, sense_of_place
from analysis.measures.probes.read import border_profiles, first_probed, padding_claim, probes, probes_summary
from analysis.results.experiment import Experiment, MissingResult, load

K, CELLS, PHASES, SIZE = 8, 2, 2, 32
POSITION = {"zeros": 0.3, "circular": 0.02, "reflect": 0.31}
NAMES = ["solid red", "at the left", "at the right", "two neighbours", "crowd of one class", "mixed crowd"]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> Experiment:
    """Zeros, circular and reflect on three seeds; fc-mask has no prototypes, replicate was not run."""
    root = tmp_path_factory.mktemp("results")
    variants = ["zeros", "circular", "reflect", "fc_mask", "replicate"]
    record = {
        "experiment": "padding", "scale": "toy", "title": "t", "question": "q", "reference": "zeros",
        "data": {"name": "shapes", "id": "0", "split": "test"},
        "variants": [{"name": name, "label": f"padded by {name}"} for name in variants],
        "runs": [{"variant": name, "seed": seed, "stages": {"probes": f"probes-{name}{seed}"}}
                 for name in variants for seed in range(3)],
    }  # fmt: skip
    (root / "experiments").mkdir()
    (root / "experiments" / "padding-toy.json").write_text(json.dumps(record))
    for name in variants[:-1]:
        for seed in range(3):
            write_probes(root / "runs" / f"probes-{name}{seed}", name, seed)
    return load(root, "padding", "toy")


def write_probes(folder, name, seed):
    result = folder / "result"
    result.mkdir(parents=True)
    (folder / "stage.json").write_text(json.dumps({"kind": "probes", "fields": {}, "inputs": {}}))
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    if name == "fc_mask":
        (result / "summary.json").write_text(json.dumps({"prototypes": 0}))
        return
    random = np.random.default_rng(seed)
    places = CELLS * PHASES
    position = np.linspace(0, 1, K)
    position[0] = np.nan  # a dead one
    arrays = {
        "places": np.arange(places) * 8 + 4, "activation": random.random((2, places, places, K)),
        "mask_iou": random.random((2, places, places)), "position": position,
        "variance": np.array([0, 1, 1, 1, 1e-6, 1, 1, 1.0]),
        "border_profile": np.where(name == "zeros", 0.5, 0) * np.ones((6, K, 4)) / np.arange(1, 5),
        "border_distance": np.array([2, 6, 10, 14.0]), "names": np.array(NAMES),
        "images": np.full((6, SIZE, SIZE, 3), 90, np.uint8), "maps": random.random((6, K, 8, 8)).astype(np.float16),
    }  # fmt: skip
    arrays["border_profile"][:, 0] = np.nan
    np.savez(result / "probes.npz", **arrays)
    summary = {
        "prototypes": K, "image_size": SIZE, "stride": 16, "cells": CELLS, "phases": PHASES, "source": "drawn", "objects": 2,
        "live": K - 1, "position": POSITION.get(name, 0) + 0.01 * seed, "aliasing": 0.1, "content": 0.9,
        "readout": {"x": 0.4, "y": 0.5, "shuffled": 0.0}, "solid_variation": 0.5, "border_reach": 8.0,
        "mask": {"found": 1.0, "iou": 0.8, "position": 0.0, "separation": None},
    }  # fmt: skip
    (result / "summary.json").write_text(json.dumps(summary))


def table(**changes: tuple[float, float, float]) -> pd.DataFrame:
    """As of `tables.summary`: the change of mask AP with its interval."""
    rows = [{"variant": "zeros", "label": "z", "metric": "mask_AP", "unit": "%", "mean": 40.0, "sd": 1.0, "n": 3,
             "change": math.nan, "low": math.nan, "high": math.nan, "clearly": False}]  # fmt: skip
    for name, (change, low, high) in changes.items():
        rows.append({**rows[0], "variant": name, "change": change, "low": low, "high": high, "clearly": low > 0 or high < 0})
    return pd.DataFrame(rows)


def test_a_row_per_network_that_was_probed_in_reported_units(experiment):
    frame = probes(experiment)
    assert frame.groupby("variant", sort=False)["seed"].apply(list).to_dict() == {
        "zeros": [0, 1, 2], "circular": [0, 1, 2], "reflect": [0, 1, 2]}  # fmt: skip
    first = frame.iloc[0]
    assert (first["position"], first["readout_y"], first["border_reach"], first["live"]) == (30, 0.5, 8, K - 1)
    assert math.isnan(first["mask_separation"])


def test_the_summary_has_spread_and_paired_change(experiment):
    frame = probes_summary(experiment).set_index(["variant", "measure"])
    row = frame.loc["circular", "position"]
    assert (row["mean"], row["sd"], row["n"], row["change"]) == pytest.approx((3, 1, 3, -28))
    assert row["clearly"] and not frame.loc["zeros", "position"]["clearly"]
    assert ("zeros", "mask_separation") not in frame.index  # nothing was found, so there is no mean
    assert not frame.loc["reflect", "readout_x"]["clearly"]


def test_profiles_leave_dead_prototypes_out(experiment):
    frame = border_profiles(experiment)
    zeros = frame[(frame["variant"] == "zeros") & (frame["seed"] == 0)]
    assert zeros["deviation"].tolist() == pytest.approx([50, 25, 50 / 3, 12.5])
    assert not frame[frame["variant"] == "circular"]["deviation"].any()


def test_prototypes_are_drawn_from_most_to_least_place_without_dead_and_faint_ones(experiment):
    assert drawn_prototypes(first_probed(experiment, "zeros")).tolist() == [7, 6, 5, 3, 2, 1]


CLAIMS = {
    "AP is lost with it": (
        {"circular": (-5, -7, -3), "reflect": (-1, -2, 0)},
        "mask AP fell clearly with “padded by circular”",
    ),
    "AP does not need it": ({"circular": (-0.5, -2, 1), "reflect": (-1, -2, 0)}, "and mask AP did not fall clearly"),
    "AP was not measured": ({}, "so some of it comes from padding."),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_the_sentence_says_what_the_numbers_say(experiment, name):
    changes, expected = CLAIMS[name]
    sentence = padding_claim(experiment, table(**changes))
    assert sentence.endswith(f"{expected}." if not expected.endswith(".") else expected)
    assert "“padded by circular” clearly took from the sense of place" in sentence
    assert "31.0 ± 1.0 %" in sentence and "“padded by circular” 3.0 ± 1.0 %" in sentence and "shapes (test)" in sentence
    assert sentence.count(". ") == 0


def test_without_a_clear_fall_the_claim_is_not_made(experiment):
    alone = without(experiment, "circular")
    assert "these numbers do not show that it comes from padding" in padding_claim(alone, table())


def without(experiment, *variants):
    runs = [run for run in experiment.record["runs"] if run["variant"] not in variants]
    return Experiment(experiment.store, {**experiment.record, "runs": runs})


PICTURES = {
    "figure_five_zeros": figure_five,
    "activation_by_place_zeros": activation_by_place,
    "border_profile": border_profile,
    "sense_of_place": lambda experiment: sense_of_place(experiment, table(circular=(-5, -7, -3))),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_have_files_caption_and_description(experiment, name, tmp_path):
    picture = PICTURES[name](experiment)
    picture.save(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for kind in ("png", "svg", "csv")}
    assert "trained on shapes," in picture.caption and "seed" in picture.caption and picture.alt and len(picture.data)
    assert f'id="{name}"' in picture.as_html("figures")


@pytest.mark.parametrize("name", PICTURES)
def test_without_probes_a_picture_says_so(experiment, name):
    with pytest.raises(MissingResult):
        PICTURES[name](without(experiment, "zeros", "circular", "reflect"))
    with pytest.raises(MissingResult, match="needs the reference and another padding"):
        padding_claim(without(experiment, "circular", "reflect"), table())


DRAWN = {
    "maps": lambda e: figure_five(e),
    "activation": lambda e: activation_by_place(e),
    "border_profile": lambda e: border_profile(e),
    "live": lambda e: probes(e),
}


@pytest.mark.parametrize("name", DRAWN)
def test_what_another_version_left_out_is_a_hole_that_names_it(experiment, tmp_path, name):
    shutil.copytree(experiment.store.root, tmp_path / "results")
    for result in (tmp_path / "results" / "runs").glob("probes-[zcr]*/result"):
        summary = json.loads((result / "summary.json").read_text())
        (result / "summary.json").write_text(json.dumps({key: value for key, value in summary.items() if key != name}))
        with np.load(result / "probes.npz") as arrays:
            kept = {key: value for key, value in arrays.items() if key != name}
        np.savez(result / "probes.npz", **kept)
    with pytest.raises(MissingResult, match=rf"(probes.npz|summary.json) of probes-\w+ has no {name}: another version"):
        DRAWN[name](load(tmp_path / "results", "padding", "toy"))


def test_a_damaged_file_is_a_hole(experiment, tmp_path):
    shutil.copytree(experiment.store.root, tmp_path / "results")
    for file in (tmp_path / "results" / "runs").rglob("probes.npz"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(MissingResult, match=r"probes\.npz of probes-\w+ cannot be read"):
        figure_five(load(tmp_path / "results", "padding", "toy"))
