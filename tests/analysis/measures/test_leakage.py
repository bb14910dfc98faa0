"""Leakage tables from hand-made rows, and the figures drawn from them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from analysis.measures.leakage import figures
from analysis.measures.leakage.read import leakage_sentence, rates, spread
from analysis.results.experiment import Experiment, MissingResult


class Fake:
    """What the functions ask of an experiment: two variants with one stage each."""

    name, scale, data, reference, headline = "made up", "toy", "shapes (test)", "b", ("mask_AP",)
    colour_order = ("b", "a")

    def __init__(self, folders):
        self.folders = folders
        self.variants = [self.variant(name) for name in self.colour_order]

    def variant(self, name):
        return SimpleNamespace(name=name, label=name.upper(), changes={})

    def seeds_of(self, variant):
        return (0,)

    arrays = Experiment.arrays

    def path(self, variant, seed, kind, file):
        if variant not in self.folders:
            raise MissingResult("not run yet")
        return self.folders[variant] / file


def table(fails_alone, fails_crowded, images=40):
    """Each image: one object alone, one with three neighbours; the given shares of them fail."""
    rows = []
    for image in range(images):
        for number, (neighbours, share) in enumerate(((0, fails_alone), (3, fails_crowded))):
            failed = int(image < share * images)
            rows.append({"image_id": image, "object": number, "label": 0, "area": 500, "neighbours": neighbours,
                         "neighbour_iou": 0.2 * (neighbours > 0), "found": 1, "score": 0.9, "box_iou": 0.9, "mask_iou": 0.8,
                         "failed": failed, "leak": 0.2, "leak_same": 0.1, "leak_other": 0.05, "spill": 0.5,
                         "merged": 0.7 if neighbours else None, "uncropped_iou": 0.4})  # fmt: skip
    return pd.DataFrame(rows)


@pytest.fixture
def experiment(tmp_path):
    folders = {"a": tmp_path / "a", "b": tmp_path / "b"}
    picture = {"image": np.zeros((9, 9, 3), np.uint8), "mask": np.eye(9, dtype=bool), "truth": np.eye(9, dtype=bool)[::-1],
               "box": np.array([1.0, 1, 7, 7]), "value": np.array(0.9), "image_id": np.array(4)}  # fmt: skip
    for folder, shares in zip(folders.values(), ((0.1, 0.1), (0.0, 0.5)), strict=True):
        folder.mkdir()
        table(*shares).to_csv(folder / "leakage.csv", index=False)
        np.savez(folder / "worst.npz", **{f"leak_0_{key}": value for key, value in picture.items()})
    return Fake(folders)


def test_rates_are_shares_of_the_objects_found_with_the_reference_first(experiment):
    frame = rates(experiment, "neighbours")
    failed = frame[frame["rate"] == "failed"].set_index(["variant", "bin"])
    assert list(dict.fromkeys(frame["variant"])) == ["b", "a"]
    assert failed.loc[("b", "0"), ["value", "low", "high", "objects"]].tolist() == [0, 0, 0, 40]
    assert failed.loc[("b", "3 and more"), "value"] == 50
    assert 30 < failed.loc[("b", "3 and more"), "low"] < 50 < failed.loc[("b", "3 and more"), "high"] < 70
    merged = frame[frame["rate"] == "merged_half"].set_index(["variant", "bin"])
    assert merged.loc[("b", "0"), "objects"] == 0 and np.isnan(merged.loc[("b", "0"), "value"])
    assert merged.loc[("b", "3 and more"), "value"] == 100
    assert (frame[frame["rate"] == "missed"]["value"] == 0).all()


def test_what_masks_hold_adds_up(experiment):
    frame = spread(experiment)
    assert frame["bin"].unique().tolist() == ["small"]
    assert np.allclose(frame[["leak_same", "leak_other", "leak_background"]].sum(axis=1), 20)


def test_the_sentence_says_crowding_only_where_the_intervals_part(experiment):
    assert leakage_sentence(experiment, "b").endswith("crowding makes masks fail.")
    assert leakage_sentence(experiment, "a").endswith("the intervals overlap.")


def test_figures_are_drawn_and_holes_are_named(experiment):
    for picture in (
        figures.leakage(experiment),
        figures.localisation_failure(experiment),
        figures.worst(experiment, "b", "leak"),
    ):
        assert "shapes (test)" in picture.caption and picture.svg and len(picture.data)
    with pytest.raises(MissingResult, match="no such object"):
        figures.worst(experiment, "b", "merged")
    with pytest.raises(MissingResult, match="not measured"):
        figures.leakage(Fake({}))
