"""Data frames and figures of redundancy, from what the measure writes of planted prototypes."""

import numpy as np
import pytest

from analysis.measures.redundancy.figures import correlations, spectrum, use_per_class
from analysis.measures.redundancy.read import components_for, redundancy, redundancy_summary, similarity_order, spectra, use
from analysis.results.experiment import MissingResult
from tests.support.planted import planted, shuffled
from tests.support.results.stored import store
from tests.yolact.measures.test_redundancy import measured
from yolact.runtime.files import write_json

CHANGES = {"trained": {}, "untrained": {"training.iterations": 0}}
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def models():
    return {("trained", seed): planted(seed, images=12) for seed in SEEDS} | {
        ("untrained", seed): shuffled(planted(seed + 10, images=12)) for seed in SEEDS[:1]
    }


@pytest.fixture(scope="module")
def experiment(models, tmp_path_factory):
    runs = {key: {"redundancy": lambda folder, model=model: measured(model, folder)} for key, model in models.items()}
    runs["untrained", 1] = {"redundancy": None}
    return store(tmp_path_factory.mktemp("redundancy"), CHANGES, runs)


@pytest.fixture(scope="module")
def without(tmp_path_factory):
    """A network without prototypes."""
    write = lambda folder: write_json(folder / "summary.json", {"prototypes": 0})  # noqa: E731
    return store(tmp_path_factory.mktemp("without"), {"fc_mask": {}}, {("fc_mask", 0): {"redundancy": write}})


def test_one_row_per_network_measured(experiment, models):
    found = redundancy(experiment)
    assert list(zip(found["variant"], found["seed"], strict=True)) == list(models)
    assert (found["k"] == 12).all() and (found["repeated"] >= 1).all() and (found["constant"] == 1).all()
    assert found["effective_rank"].between(1, 12).all()
    assert (found["components_90"] <= found["components_99"]).all()


def test_the_summary_gives_spread_over_seeds(experiment):
    found = redundancy_summary(experiment).set_index(["variant", "name"])
    ranks = redundancy(experiment).query("variant == 'trained'")["effective_rank"]
    row = found.loc[("trained", "effective_rank")]
    assert (row["mean"], row["sd"], row["n"]) == pytest.approx((ranks.mean(), np.std(ranks, ddof=1), 3))
    alone = found.loc[("untrained", "effective_rank")]
    assert alone["n"] == 1 and np.isnan(alone["sd"])


def test_shares_of_variance_add_up(experiment):
    found = spectra(experiment).groupby(["variant", "seed"])
    assert found["share"].sum().to_numpy() == pytest.approx(1)
    assert (found["component"].max() == 12).all()


def test_use_names_the_planted_signs(experiment, models):
    found = use(experiment)
    assert found.groupby("seed")["share"].sum().to_numpy() == pytest.approx(1)
    for seed, own in found.groupby("seed"):
        assert own["use"].is_monotonic_decreasing
        signs = models["trained", seed].signs
        always = {row.prototype: row.positive_share for row in own.itertuples() if signs[row.prototype] in (1, -1)}
        assert {i: 2 * share - 1 for i, share in always.items()} == {i: signs[i] for i in always}


@pytest.mark.parametrize(
    ("explained", "share", "count"),
    [([0.5, 0.9, 1.0], 0.9, 2), ([0.5, 0.9, 1.0], 0.91, 3), ([1.0], 0.99, 1), ([0.95, 1.0], 0.9, 1)],
)
def test_components_needed_for_a_share(explained, share, count):
    assert components_for(np.array(explained), share) == count


def test_alike_ones_stand_side_by_side():
    r = np.eye(6)
    for i, j, value in [(0, 4, 0.9), (4, 2, -0.8), (1, 5, 0.7)]:
        r[i, j] = r[j, i] = value
    order = similarity_order(r)
    assert sorted(order) == list(range(6))
    place = {one: order.index(one) for one in order}
    assert [abs(place[i] - place[j]) for i, j in [(0, 4), (4, 2), (1, 5)]] == [1, 1, 1]
    assert similarity_order(np.eye(1)) == [0]


def test_figures_say_what_they_show(experiment):
    for draw, rows in [(correlations, 2 * 66), (spectrum, 4 * 12), (use_per_class, 4 * 12)]:
        picture = draw(experiment)
        assert picture.name == draw.__name__
        assert "shapes (test)" in picture.caption and picture.alt and len(picture.data) == rows
        assert picture.svg.startswith("<?xml")
    assert "n = 1 to 3 seeds" in spectrum(experiment).caption
    assert "ONE SEED" in spectrum(experiment).alt


@pytest.mark.parametrize("show", [redundancy, redundancy_summary, spectra, use, correlations, spectrum, use_per_class])
def test_without_prototypes_there_is_nothing_to_show(without, show):
    with pytest.raises(MissingResult, match="measured for redundancy: fc_mask has no prototypes"):
        show(without)


def test_one_prototype_can_be_shown(tmp_path):
    one = planted(0, images=3)
    i = one.kinds.index("contour")
    one.prototypes[:] = [maps[i : i + 1] for maps in one.prototypes]
    one.coefficients[:] = [coefficients[:, i : i + 1] for coefficients in one.coefficients]
    experiment = store(tmp_path, {"k1": {}}, {("k1", 0): {"redundancy": lambda folder: measured(one, folder)}})
    assert redundancy(experiment)["effective_rank"].tolist() == [1.0]
    for draw in (correlations, spectrum, use_per_class):
        assert draw(experiment).svg


def test_nothing_detected_means_no_use(tmp_path):
    nothing = planted(0, images=3)
    nothing.coefficients[:] = [coefficients[:0] for coefficients in nothing.coefficients]
    for truth in nothing.instances:
        object.__setattr__(truth, "labels", truth.labels[:0])
    experiment = store(tmp_path, {"a": {}}, {("a", 0): {"redundancy": lambda folder: measured(nothing, folder)}})
    assert use(experiment)["use"].isna().all()
    assert correlations(experiment).svg and spectrum(experiment).svg
    with pytest.raises(MissingResult, match="detected nothing"):
        use_per_class(experiment)
