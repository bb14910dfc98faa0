"""`yolact gallery`: what it writes, replaces, prints and refuses."""

from __future__ import annotations

import re

import pytest

from analysis.gallery.page import MARK, SCRIPTS
from experiments.cli.main import call
from tests.support.results import made_up
from yolact.runtime.units import readable_size


def gallery(root, *options):
    return call(["gallery", "look", "--results", str(root), *map(str, options)])


def test_the_folder_is_whole_and_the_path_and_size_are_printed(tmp_path, capsys):
    made_up.write(tmp_path)
    assert gallery(tmp_path) == 0
    folder = tmp_path / "reports" / "look-toy-gallery"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"index.html", "gallery.css", "statistics.csv", *SCRIPTS, "images/0.js", "images/1.js"}
    size = sum((folder / name).stat().st_size for name in names)
    path, counts = capsys.readouterr().out.splitlines()
    assert path == str(folder / "index.html")
    assert counts == f"2 images, 4 prototypes, {readable_size(size)}"


def test_names_from_outside_are_text(tmp_path):
    made_up.write(tmp_path)
    gallery(tmp_path)
    page = (tmp_path / "reports" / "look-toy-gallery" / "index.html").read_text()
    assert "What &lt;they&gt; learned" in page
    assert "<they>" not in page


def test_nothing_in_the_folder_names_another_place(tmp_path):
    made_up.write(tmp_path)
    gallery(tmp_path)
    folder = tmp_path / "reports" / "look-toy-gallery"
    for path in [*folder.glob("*.html"), *folder.glob("*.js"), *folder.glob("*.css")]:
        assert not re.search(r"https?://|//[a-z]+\.[a-z]|\bfetch\(|XMLHttpRequest|\beval\(", path.read_text(), re.IGNORECASE), (
            path
        )


def test_an_earlier_gallery_is_replaced_and_a_failed_one_leaves_it(tmp_path, monkeypatch):
    made_up.write(tmp_path)
    folder = tmp_path / "reports" / "look-toy-gallery"
    assert gallery(tmp_path) == 0
    (folder / "images" / "17.js").write_text("old")
    assert gallery(tmp_path) == 0
    assert not (folder / "images" / "17.js").exists()
    before = (folder / "index.html").read_bytes()

    def broken(*arguments):
        raise RuntimeError("power cut")

    monkeypatch.setattr("analysis.gallery.page.encode", broken)
    with pytest.raises(RuntimeError):
        gallery(tmp_path)
    assert (folder / "index.html").read_bytes() == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_no_gallery_is_not_replaced(tmp_path, capsys):
    made_up.write(tmp_path)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "index.html").write_text("years of work")
    assert gallery(tmp_path, "--out", other) == 2
    assert "is no gallery; name another folder with --out" in capsys.readouterr().err
    assert (other / "index.html").read_text() == "years of work"
    (other / "index.html").unlink()
    assert gallery(tmp_path, "--out", other) == 0
    assert MARK in (other / "index.html").read_text()


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ({}, ["--variant", "nope"], "look has no variant 'nope'; it has: plain"),
        ({}, ["--seed", "3"], "look was not run with seed 3; it has: 7"),
        ({}, ["--scale", "paper"], "look-paper"),
        ({"state": "planned"}, [], "`yolact run look --scale toy --set prototypes.images=300` of more images"),
        ({"measured": False}, [], "doesn't measure `prototypes`"),
        ({"k": 0}, [], "plain makes its masks without prototypes"),
    ],
)
def test_what_is_wrong_is_said(made, options, message, tmp_path, capsys):
    made_up.write(tmp_path, **made)
    assert gallery(tmp_path, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()
