"""Files are replaced in one step or not at all."""

import numpy as np
import pytest

from yolact.runtime.files import write_csv, write_json, write_npz, write_text, written_aside


def test_a_failed_write_leaves_the_old_contents_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), written_aside(path) as aside:
        aside.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_not_a_number_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"AP": float("nan")})
    assert not list(tmp_path.iterdir())


def test_json_ends_its_last_line(tmp_path):
    write_json(tmp_path / "a.json", {"a": [1]}, indent=None)
    assert (tmp_path / "a.json").read_text() == '{"a": [1]}\n'


@pytest.mark.parametrize(
    ("rows", "columns", "text"),
    [
        ([{"a": 1, "b": "x, y"}, {"a": None, "c": 0.1}], None, 'a,b,c\n1,"x, y",\n,,0.1\n'),
        ([{"b": 2}], ("a", "b"), "a,b\n,2\n"),
        ([], ("a", "b"), "a,b\n"),
    ],
    ids=["columns of the rows", "given columns", "no rows"],
)
def test_rows_become_lines_and_what_they_lack_stays_empty(tmp_path, rows, columns, text):
    write_csv(tmp_path / "a.csv", rows, columns)
    assert (tmp_path / "a.csv").read_bytes() == text.encode()


def test_a_column_without_a_header_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'b'"):
        write_csv(tmp_path / "a.csv", [{"a": 1, "b": 2}], ("a",))
    assert not list(tmp_path.iterdir())


def test_arrays_give_the_same_bytes_and_objects_are_refused(tmp_path):
    path, arrays = tmp_path / "a.npz", {"one": np.arange(3), "two": np.zeros((0, 2), bool)}
    write_npz(path, arrays)
    first = path.read_bytes()
    with np.load(path, allow_pickle=False) as stored:
        assert {name: (part.dtype, part.tolist()) for name, part in stored.items()} == {
            name: (part.dtype, part.tolist()) for name, part in arrays.items()
        }
    with pytest.raises(ValueError, match="allow_pickle"):
        write_npz(path, {"one": np.array([None])})
    assert path.read_bytes() == first and list(tmp_path.iterdir()) == [path]
    write_npz(path, arrays)
    assert path.read_bytes() == first
