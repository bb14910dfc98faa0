"""Intervals over seeds and images, and what may be called clear."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis.statistics.intervals import Difference, PairingError, over_images, over_seeds, sample_sd, t_quantile
from tests.support.results.fake_results import write_matches


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    # NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.2, column .975
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (30, 2.042), (100, 1.984)],
)
def test_t_quantile(degrees, quantile):
    assert t_quantile(degrees) == pytest.approx(quantile, abs=5e-4)


def test_interval_over_seeds():
    # by hand: mean 2, sd 1, half width 4.303 · 1 / √3
    found = over_seeds([1.0, 2.0, 3.0])
    assert (found.mean, found.n, found.method) == (2.0, 3, "seeds")
    assert found.high - found.mean == pytest.approx(4.303 / math.sqrt(3), abs=1e-3)
    assert not found.clearly


def test_one_seed_has_no_interval_and_is_never_clear():
    found = over_seeds([5.0])
    assert (found.n, found.method, found.clearly) == (1, "none", False)
    assert math.isnan(found.low)
    assert math.isnan(sample_sd([5.0]))


def test_no_seed_is_refused():
    with pytest.raises(ValueError, match="at least one seed"):
        over_seeds([])


@pytest.mark.parametrize(
    ("low", "high", "method", "clearly"),
    [
        (0.1, 0.5, "seeds", True),
        (-0.5, -0.1, "images", True),
        (-0.1, 0.5, "seeds", False),
        (0.0, 0.5, "seeds", False),
        (0.1, 0.5, "images of one seed", False),  # misses the variance between trainings
    ],
)
def test_clearly_means_that_the_interval_excludes_zero(low, high, method, clearly):
    assert Difference((low + high) / 2, low, high, 3, method).clearly is clearly


def test_bootstrap_of_a_variant_against_itself_is_zero(tmp_path):
    write_matches(tmp_path / "a.npz", 0.7, seed=1)
    found = over_images([(tmp_path / "a.npz", tmp_path / "a.npz")], "segm", ("AP",), retrained=False, resamples=20)["AP"]
    assert (found.mean, found.low, found.high, found.method) == (0, 0, 0, "images")


def test_bootstrap_sees_a_planted_difference_and_marks_one_retrained_seed(tmp_path):
    write_matches(tmp_path / "good.npz", 0.8, seed=1)
    write_matches(tmp_path / "bad.npz", 0.6, seed=2)
    pairs = [(tmp_path / "bad.npz", tmp_path / "good.npz")]
    shared = over_images(pairs, "segm", ("AP", "AP50"), retrained=False, resamples=200)
    assert all(one.clearly and one.low < one.mean < one.high < 0 for one in shared.values())
    assert not over_images(pairs, "segm", ("AP",), retrained=True, resamples=200)["AP"].clearly


def test_different_images_cannot_be_paired(tmp_path):
    write_matches(tmp_path / "a.npz", 0.8, seed=1)
    with np.load(tmp_path / "a.npz") as arrays:
        np.savez(tmp_path / "b.npz", **{**arrays, "image_ids": arrays["image_ids"] + 1})
    with pytest.raises(PairingError, match=r"b\.npz hold different images"):
        over_images([(tmp_path / "a.npz", tmp_path / "b.npz")], "segm", ("AP",), retrained=False, resamples=2)
