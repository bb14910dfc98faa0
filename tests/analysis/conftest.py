"""Made-up results, written once per test session."""

import pytest

from analysis.results.experiment import load
from tests.support.results import fake_results


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    """A results folder with three seeds and a failed training; tests don't write to it."""
    return fake_results.write(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def experiment(results):
    return load(results, "quickstart", "toy")


@pytest.fixture(scope="session")
def single_seed(tmp_path_factory):
    """One seed, nothing failed."""
    folder = fake_results.write(tmp_path_factory.mktemp("single"), seeds=(0,), failed=None)
    return load(folder, "quickstart", "toy")


@pytest.fixture(scope="session")
def at_paper_scale(tmp_path_factory):
    folder = fake_results.write(tmp_path_factory.mktemp("paper"), scale="paper", seeds=(0,), failed=None)
    return load(folder, "quickstart", "paper")
