"""Result files that lack something, or are none: what is said names file, array and remedy, whoever reads."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

from analysis.measures.prototypes.figures import prototypes
from analysis.measures.prototypes.read import open_kept
from analysis.results.contents import MissingName, MissingResult, opened
from analysis.results.experiment import every, first
from analysis.statistics.bootstrap import load_matches
from tests.support.results import fake_results, made_up


@pytest.fixture
def file(tmp_path):
    """Where a stage leaves its arrays."""
    path = tmp_path / "runs" / "probes-0123" / "result" / "probes.npz"
    path.parent.mkdir(parents=True)
    return path


def saved(save, *values, **arrays):
    file = io.BytesIO()
    save(file, *values, **arrays)
    return file.getvalue()


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


WHOLE = saved(np.savez_compressed, a=np.arange(1000) % 7)
UNREADABLE = {
    "empty": b"",
    "text": b"image_id,object\n1,2\n",
    "cut short": WHOLE[:-30],
    "a single array": saved(np.save, np.arange(3)),
    "a changed byte": flipped(WHOLE, 60),
    "another changed byte": flipped(WHOLE, len(WHOLE) // 3),
    "objects": saved(np.savez, a=np.array([{}], object)),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_file_of_arrays_is_named(file, content):
    file.write_bytes(content)
    said = r"^probes\.npz of probes-0123 cannot be read: .*`yolact results rm probes-0123`$"
    with pytest.raises(MissingResult, match=said), opened(file) as arrays:
        arrays["a"]


def test_arrays_are_read_when_they_are_asked_for(file):
    file.write_bytes(saved(np.savez, a=np.arange(3), b=np.array([{}], object)))
    with opened(file) as arrays:
        assert list(arrays) == ["a", "b"] and len(arrays) == 2
        assert "b" in arrays and "c" not in arrays and arrays.get("c") is None
        assert arrays["a"].tolist() == [0, 1, 2]


def without(path, name):
    with np.load(path) as arrays:
        kept = {key: value for key, value in arrays.items() if key != name}
    np.savez(path, **kept)


def matches(root, name):
    path = root / "runs" / "coco-0123" / "result" / "matches.npz"
    path.parent.mkdir(parents=True)
    fake_results.write_matches(path, 0.8, 0)
    without(path, name)
    load_matches(path)


def kept(root, name):
    experiment = made_up.write(root)
    without(root / "runs" / made_up.STAGE / "result" / "prototypes.npz", name)
    for _ in open_kept(experiment):
        pass


def kept_image(root, name):
    experiment = made_up.write(root)
    without(root / "runs" / made_up.STAGE / "result" / "prototypes.npz", name)
    open_kept(experiment).image(101)


def figure(root, name):
    experiment = made_up.write(root)
    without(root / "runs" / made_up.STAGE / "result" / "prototypes.npz", name)
    prototypes(experiment, "plain")


@pytest.mark.parametrize(
    ("read", "name"),
    [(matches, name) for name in ("image_ids", "recall_thresholds", "segm_score", "segm_gt_ignored")]
    + [(kept, name) for name in ("image_ids", "class_names", "0_image", "1_masks")]
    + [(kept_image, name) for name in ("1_prototypes", "1_labels")]
    + [(figure, name) for name in ("image_ids", "1_masks", "1_prototypes")],
)
def test_an_array_that_is_missing_is_named(tmp_path, read, name):
    said = rf"^\w+\.npz of (\w+-\w+) has no {name}: another version .* after `yolact results rm \1`$"
    with pytest.raises(MissingName, match=said):
        read(tmp_path, name)


def test_arrays_of_a_later_version_are_passed_over(tmp_path):
    path = tmp_path / "matches.npz"
    fake_results.write_matches(path, 0.8, 0)
    with np.load(path) as arrays:
        np.savez(path, **arrays, segm_colour=np.zeros(3))
    assert load_matches(path).categories == 3


class Fake:
    colour_order = ("b", "a")

    def __init__(self, **seeds):
        self.seeds = seeds

    def seeds_of(self, variant):
        return tuple(self.seeds[variant])

    def read(self, experiment, variant, seed):
        value = self.seeds[variant][seed]
        if value is None:
            raise MissingResult(f"{variant} {seed} was not run")
        return value


def test_the_first_and_every_run_that_has_it():
    fake = Fake(a={0: None, 1: "x", 2: "y"}, b={0: None, 1: None})
    assert every(fake, fake.read, "") == [("a", 1, "x"), ("a", 2, "y")]
    assert first(fake, "a", fake.read, "") == (1, "x")
    with pytest.raises(MissingResult, match=re.escape("nothing: b 0 was not run; b 1 was not run")):
        first(fake, "b", fake.read, "nothing")
    with pytest.raises(MissingResult, match=r"^nothing$"):
        every(Fake(a={}, b={}), fake.read, "nothing")
