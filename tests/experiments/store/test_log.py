"""The ends of log files."""

import io

import pytest

from experiments.store.log import last_lines, tail


@pytest.mark.parametrize(
    ("text", "most", "lines"),
    [
        (b"", 100, []),
        (b"\n \n", 100, []),
        (b"one\n\ntwo  \n", 100, ["one", "two"]),
        (b"one\ntwo", 100, ["one", "two"]),
        (b"one\ntwo\nthree\n", 7, ["three"]),
        (b"\xff\n", 100, ["\ufffd"]),
    ],
)
def test_last_lines(tmp_path, text, most, lines):
    assert last_lines(io.BytesIO(text), most) == lines
    (tmp_path / "log").write_bytes(text)
    assert tail(tmp_path / "log", most) == lines
    assert tail(tmp_path / "missing") == []
