"""Kinds of prototypes: what was planted is found, shuffling or wrong ground truth takes it away, random weights set the bar."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch

from analysis.measures.responses.figures import kinds_of_prototypes, partition_maps, place_against_objects
from analysis.measures.responses.kinds import KINDS, SEEN, STRENGTHS, Bounds, kinds, strengths
from analysis.measures.responses.read import kinds_table, what_was_learned
from analysis.results.experiment import MissingResult
from tests.support.planted import planted, shuffled
from tests.support.results.stored import store
from yolact.measures.responses.described import Described
from yolact.measures.responses.regions import regions

SEEDS = range(6)
IMAGES = 30


def described(model, shift=0):
    """One row per prototype of a planted model, as in prototypes.csv; `shift` gives every image another's ground truth."""
    collected, n = Described(), len(model.images)
    where = [regions(truth.masks, truth.crowd, tuple(truth.masks.shape[-2:])) for truth in model.instances]
    for i in range(n):
        collected.add(
            model.prototypes[i], where[(i + shift) % n], model.images[i], where[i - 1] if shift == 0 else where[i - 2]
        )
    return pd.DataFrame(collected.finish().summary())


def found(model, shift=0):
    table = strengths(described(model, shift))
    return kinds(table, Bounds(chance=0.0, random={}, drawn=0))


@pytest.fixture(scope="module")
def models():
    return [planted(seed, IMAGES) for seed in SEEDS]


@pytest.fixture(scope="module")
def answers(models):
    return [found(model) for model in models]


def confusion(models, answers):
    planted_kinds = [kind for model in models for kind in model.kinds]
    answered = [kind for answer in answers for kind in answer["kind"]]
    return pd.crosstab(pd.Series(planted_kinds, name="planted"), pd.Series(answered, name="found"))


def test_each_planted_kind_is_found(models, answers):
    """The confusion table: prototypes of six random models, by planted kind (rows) and by the kind found (columns)."""
    table = confusion(models, answers)
    print("\n" + table.to_string())
    wrong = table.copy()
    for kind in KINDS:
        wrong.loc[kind, kind] = 0
    assert set(table.index) == set(KINDS)
    assert wrong.to_numpy().sum() == 0, table.to_string()


def test_the_boundary_of_a_partition_is_found_with_its_axis_and_side(models, answers):
    for model, answer in zip(models, answers, strict=True):
        for index, boundary in model.boundaries.items():
            row = answer.loc[index]
            assert (row["axis"], row["before"]) == (boundary.axis, boundary.active_before)
            assert row["boundary"] == pytest.approx(boundary.at, abs=1 / 16), (row["boundary"], boundary)


def test_a_duplicate_has_the_kind_of_what_it_repeats(models, answers):
    for model, answer in zip(models, answers, strict=True):
        for index, original in model.duplicates.items():
            assert answer.loc[index, "kind"] == answer.loc[original, "kind"]
            assert answer.loc[index, "strength"] == pytest.approx(answer.loc[original, "strength"], abs=0.05)


def test_shuffled_pixels_have_no_kind(models):
    answers = [found(shuffled(model)) for model in models[:3]]
    print("\n" + confusion(models[:3], answers).to_string())
    assert {kind for answer in answers for kind in answer["kind"]} == {"constant", "none"}
    strongest = max(answer[kind].max() for answer in answers for kind in STRENGTHS)
    assert strongest < SEEN / 2


def test_the_ground_truth_of_other_images_leaves_what_place_explains_alone(models):
    answers = [found(model, shift=7) for model in models[:3]]
    print("\n" + confusion(models[:3], answers).to_string())
    left = {kind for answer in answers for kind in answer["kind"]}
    assert left == {"partition", "position-sensitive", "constant", "none"}


def write_responses(model, random):
    """What writes a stage's files: planted prototypes, held against those of other planted models as random networks."""

    def write(folder):
        sources = {"network": model, "shuffled": shuffled(model), **{f"random {i}": one for i, one in enumerate(random)}}
        rows = pd.concat([described(one).assign(source=name) for name, one in sources.items()])
        rows.to_csv(folder / "prototypes.csv", index=False)
        np.savez(folder / "maps.npz", mean=torch.stack(model.prototypes).mean(0).numpy())
        (folder / "summary.json").write_text(json.dumps({"prototypes": len(model.kinds), "images": len(model.images)}))

    return write


@pytest.fixture(scope="module")
def experiment(models, tmp_path_factory):
    """A trained network with planted structure and one whose prototypes are noise; random networks give noise."""
    noise = [shuffled(model, seed=3) for model in models[2:]]
    runs = {
        (variant, seed): {"train": lambda folder: None, "responses": write_responses(model, noise)}
        for seed in (0, 1)
        for variant, model in (("trained", models[seed]), ("untrained", shuffled(models[4 + seed], seed=5)))
    }
    return store(tmp_path_factory.mktemp("kinds"), {"trained": {}, "untrained": {"training.iterations": 0}}, runs)


def test_the_sentence_says_what_was_learned_and_that_nothing_was(experiment):
    assert "nothing was learned" not in what_was_learned(experiment, "trained")
    assert "partition" in what_was_learned(experiment, "trained")
    assert "nothing was learned" in what_was_learned(experiment, "untrained")


def test_the_table_counts_each_kind_per_network(experiment, models):
    table = kinds_table(experiment).set_index(["variant", "kind"])
    for kind in KINDS:
        planted_count = sum(model.kinds.count(kind) for model in models[:2]) / 2
        assert table.loc[("trained", kind), "mean"] == planted_count
    assert (table["n"] == 2).all()
    assert table.loc[("trained", "contour"), "beyond"] == table.loc[("trained", "contour"), "mean"]
    assert table.loc["untrained"].loc[list(STRENGTHS), "mean"].sum() == 0


@pytest.mark.parametrize("draw", [lambda e: partition_maps(e, "trained"), kinds_of_prototypes, place_against_objects])
def test_figures_have_files_caption_and_description(draw, experiment, tmp_path):
    picture = draw(experiment)
    picture.save(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert "shapes (test)" in picture.caption and picture.alt and len(picture.data)


def test_without_results_they_say_what_is_missing(tmp_path):
    empty = store(tmp_path, {"trained": {}}, {("trained", 0): {"train": None, "responses": None}})
    for draw in (kinds_table, kinds_of_prototypes, place_against_objects, lambda e: what_was_learned(e, "trained")):
        with pytest.raises(MissingResult, match="not run yet"):
            draw(empty)
