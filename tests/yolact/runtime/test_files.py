"""Files are replaced in one step or not at all."""

import pytest

from yolact.runtime.files import write_json, write_text, written_aside


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
