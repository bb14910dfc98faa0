"""Figures: drawn from stored results, one colour per variant, described in words, without global state."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from analysis import figures
from analysis.figures.speed import protocol
from analysis.figures.style import OKABE_ITO, colours
from analysis.measures.prototypes.figures import best_prototype_variant, prototypes
from analysis.results.experiment import Experiment, MissingResult, load
from analysis.tables.tidy import summary, tidy
from tests.support.results import fake_results


def draw(name: str, experiment: Experiment):
    table = summary(experiment)
    return {
        "accuracy": lambda: figures.accuracy(experiment, table, tidy(experiment)),
        "accuracy_by_size": lambda: figures.accuracy_by_size(experiment, table),
        "accuracy_against_latency": lambda: figures.accuracy_against_latency(experiment, table, protocol(experiment)),
        "losses": lambda: figures.losses(experiment),
        "precision_recall": lambda: figures.precision_recall(experiment, ("no_crop", "baseline")),
        "speed_by_stage": lambda: figures.speed_by_stage(experiment),
        "prototypes": lambda: prototypes(experiment, best_prototype_variant(experiment, table)),
    }[name]()


NAMES = [
    "accuracy",
    "accuracy_by_size",
    "accuracy_against_latency",
    "losses",
    "precision_recall",
    "speed_by_stage",
    "prototypes",
]


@pytest.fixture(scope="module")
def nothing(tmp_path_factory):
    """An experiment whose only training failed for every variant."""
    folder = fake_results.write(tmp_path_factory.mktemp("nothing"), seeds=())
    return load(folder, "quickstart", "toy")


@pytest.mark.parametrize("name", NAMES)
def test_each_figure_has_files_caption_and_description(name, single_seed, tmp_path):
    before = dict(matplotlib.rcParams)
    picture = draw(name, single_seed)
    picture.save(tmp_path)
    assert dict(matplotlib.rcParams) == before
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.png", f"{name}.svg", f"{name}.csv"}
    assert "shapes" in picture.caption or "Made-up CPU" in picture.caption
    assert "ONE seed" in picture.caption or "seed 0" in picture.caption
    assert picture.alt
    assert len(picture.data)


@pytest.mark.parametrize("name", NAMES)
def test_without_results_a_figure_says_what_is_missing(name, nothing):
    with pytest.raises(MissingResult):
        draw(name, nothing)


def test_curves_are_drawn_though_the_reference_has_none(single_seed):
    gone = {**single_seed.record, "runs": [run for run in single_seed.record["runs"] if run["variant"] != "baseline"]}
    picture = figures.precision_recall(Experiment(single_seed.store, gone), ("no_crop", "baseline"))
    assert set(picture.data["variant"]) == {"no_crop"}


def test_the_svg_in_a_page_is_well_formed_themed_and_names_its_ids_for_itself(single_seed):
    source = draw("speed_by_stage", single_seed).as_html("figures")
    svg = source[source.index("<svg") : source.index("</svg>") + 6]
    tree = ElementTree.fromstring(svg)
    assert tree.attrib["role"] == "img"
    assert "ms" in tree.attrib["aria-label"]
    ids = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(ids) == len(set(ids))
    assert all(one.startswith("speed_by_stage-") for one in ids)
    assert "currentColor" in svg


def test_every_variant_has_a_colour_of_its_own_and_the_reference_the_first(experiment):
    found = colours(experiment)
    assert len(set(found.values())) == 5
    assert found["baseline"] == OKABE_ITO[0]


def test_more_variants_than_the_palette_holds_still_differ(experiment):
    many = [{"name": f"k{k}", "label": f"k = {k}"} for k in range(9)]
    found = colours(Experiment(experiment.store, {**experiment.record, "variants": many, "reference": "k4", "runs": []}))
    assert len(set(found.values())) == 9


def test_variants_of_one_training_have_one_loss_curve(experiment):
    assert set(figures.losses(experiment).data["variant"]) == {"baseline", "fc_mask", "k1"}
