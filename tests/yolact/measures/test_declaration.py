"""Declarations of measures, and how a scalar is read."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.store.metrics import METRICS, metrics_in, metrics_of
from tests.support.paths import ROOT
from yolact.measures import NAMES, declaration, declarations
from yolact.measures.declaration import Scalar


def test_every_folder_of_measures_is_named():
    assert {path.parent.name for path in (ROOT / "yolact" / "measures").glob("*/__init__.py")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_measure_bears_its_folders_name_and_its_defaults_are_enough(name):
    measure = declaration(name)
    assert measure.name == name and measure.config().essence() == {}
    assert {scalar.file for scalar in measure.scalars} <= {file.name for file in measure.files}


def test_no_two_metrics_share_a_name():
    scalars = [scalar.name for measure in declarations() for scalar in measure.scalars]
    assert len(scalars) == len(set(scalars)) and len(METRICS) == len(scalars) + 2 * (6 + 8) + 2


def test_declarations_import_neither_torch_nor_pandas():
    code = "import sys, yolact.measures as m; m.declarations(); assert not {'torch', 'pandas', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@given(st.lists(st.floats(-1e6, 1e6) | st.none() | st.just("") | st.just(math.nan), min_size=1))
def test_a_column_counts_the_rows_that_are_not_empty(rows):
    scalar = Scalar("a", "a", "%", ("x",), "a.csv", scale=100)
    given_ = [row for row in rows if row not in (None, "") and not math.isnan(row)]
    if not given_:
        with pytest.raises(ValueError, match="undefined"):
            scalar.of({"x": rows})
    else:
        assert scalar.of({"x": rows}) == pytest.approx(100 * sum(given_) / len(given_), abs=1e-3)


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ({"a": {"b": 2}}, 4.0),
        ({"a": {"b": [7, 8, 9]}}, 6.0),
        ({"a": {"b": -1}}, "no such instances"),
        ({"a": {"b": None}}, "undefined"),
        ({"a": {"b": "text"}}, "no number"),
        ({"a": {"b": math.inf}}, "inf"),
        ({"a": {}}, "has no a.b"),
        ({"a": 3}, "has no a.b"),
        ([], "has no a.b"),
    ],
)
def test_a_scalar_is_read_by_its_path(contents, expected):
    scalar = Scalar("a", "a", "", ("a", "b"), scale=2, undefined=-1)
    if isinstance(expected, float):
        assert scalar.of(contents) == expected
    else:
        with pytest.raises((KeyError, ValueError), match=expected):
            scalar.of(contents)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_survive_the_record_of_an_experiment(name):
    found = {metric.name: metric for metric in metrics_of(declaration(name))}
    assert metrics_in({"metrics": [metric.to_data() for metric in found.values()]}).items() >= found.items()


def test_the_docs_list_every_scalar():
    text = (ROOT / "docs" / "measures.md").read_text(encoding="utf-8")
    for measure in declarations():
        row = f"| `{measure.name}` | {', '.join(f'`{scalar.name}`' for scalar in measure.scalars)} |"
        assert not measure.scalars or row in text, row
