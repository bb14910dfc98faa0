"""Correlation, effective rank and near-duplicates of constructions whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from yolact.measures.redundancy.spectrum import correlation, effective_rank, explained, near_duplicates, principal_components

EIGENVALUES = arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1e6)).filter(lambda values: values.sum() > 1e-6)
FACTORS = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 9)), elements=st.floats(-10, 10))


@pytest.mark.parametrize(
    ("eigenvalues", "rank"),
    [
        ([5.0], 1.0),
        ([3.0, 0.0, 0.0], 1.0),
        ([2.0, 2.0, 0.0], 2.0),
        ([1.0] * 8, 8.0),
        ([0.0, 0.0], 0.0),
        ([3.0, 1.0], 4 / 3**0.75),  # exp(-(3/4 ln 3/4 + 1/4 ln 1/4))
    ],
)
def test_effective_rank_of_known_spectra(eigenvalues, rank):
    assert effective_rank(np.array(eigenvalues)) == pytest.approx(rank)


@given(EIGENVALUES, st.floats(1e-3, 1e3))
def test_effective_rank_lies_between_1_and_k_whatever_the_scale(eigenvalues, scale):
    rank = effective_rank(eigenvalues)
    assert 1 - 1e-9 <= rank <= len(eigenvalues) + 1e-9
    assert effective_rank(scale * eigenvalues) == pytest.approx(rank)


@given(EIGENVALUES)
def test_what_components_explain_rises_to_all(eigenvalues):
    shares = explained(np.sort(eigenvalues)[::-1])
    assert shares[-1] == pytest.approx(1)
    assert (np.diff(shares) >= -1e-12).all() and (shares <= 1).all()


def test_nothing_that_varies_is_explained_by_anything():
    assert explained(np.zeros(3)).tolist() == [1, 1, 1]


@given(FACTORS)
def test_components_are_orthonormal_ordered_and_rebuild_the_covariance(factors):
    covariance = np.cov(factors.T, bias=True)
    values, vectors = principal_components(covariance)
    assert (np.diff(values) <= 1e-9).all() and (values >= 0).all()
    assert np.allclose(vectors.T @ vectors, np.eye(len(values)), atol=1e-9)
    assert np.allclose(vectors * values @ vectors.T, covariance, atol=1e-6)


@given(FACTORS, st.integers(0, 2**32 - 1))
def test_correlation_ignores_the_scale_of_each_prototype(factors, seed):
    covariance = np.cov(factors.T, bias=True)
    scale = np.random.default_rng(seed).uniform(0.5, 2, len(covariance))
    one, other = correlation(covariance), correlation(covariance * scale[:, None] * scale)
    assert np.allclose(one, one.T) and (np.abs(one) <= 1).all() and (np.diag(one) == 1).all()
    if (np.diag(covariance) > 1e-12).all():
        assert np.allclose(one, other)


def test_a_constant_correlates_with_nothing_else():
    assert correlation(np.array([[4.0, 0], [0, 0]])).tolist() == [[1, 0], [0, 1]]
    assert correlation(np.array([[4.0, -2], [-2, 1]])).tolist() == [[1, -1], [-1, 1]]


@pytest.mark.parametrize(
    ("pairs", "groups"),
    [
        ({}, []),
        ({(0, 3): 0.95}, [[0, 3]]),
        ({(0, 3): -0.95}, [[0, 3]]),
        ({(0, 3): 0.9}, []),  # not above the threshold
        ({(0, 4): 0.95, (2, 4): -0.91, (1, 3): 0.99}, [[0, 2, 4], [1, 3]]),
    ],
)
def test_near_duplicates_are_chains_of_strong_correlations(pairs, groups):
    correlations = np.eye(5)
    for (i, j), r in pairs.items():
        correlations[i, j] = correlations[j, i] = r
    assert near_duplicates(correlations, 0.9) == groups
