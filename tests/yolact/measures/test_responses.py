"""Responses of prototypes: each measure on maps whose answer is known, and the files of the stage."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.declared import assert_as_declared
from tests.support.networks import TINY_FC_MASK, tiny_model
from tests.support.planted import planted
from yolact.config import InferenceConfig
from yolact.errors import UserError
from yolact.measures.context import Look
from yolact.measures.responses import MEASURE, ResponsesConfig, association
from yolact.measures.responses import measure as responses
from yolact.measures.responses.measure import measure, prototypes
from yolact.measures.responses.regions import nowhere, regions
from yolact.models.layers.padding import padding_of, set_padding

SIZE = 32
TRUTH = torch.zeros(1, SIZE, SIZE, dtype=torch.uint8)
TRUTH[0, 8:20, 10:26] = 1
WHERE = regions(TRUTH, torch.zeros(1, dtype=torch.bool), (SIZE, SIZE))
INSIDE = TRUTH.float()
X = (torch.arange(SIZE) / SIZE).expand(1, SIZE, SIZE)


@pytest.mark.parametrize(
    ("name", "maps", "expected"),
    [
        ("objects", INSIDE, 1), ("objects", 3 - 2 * INSIDE, -1), ("objects", torch.ones(1, SIZE, SIZE), 0),
        ("contour", WHERE.band[None].float(), 1), ("contour", 1 - WHERE.band[None].float(), -1), ("contour", INSIDE, 0),
    ],
)  # fmt: skip
def test_perfect_maps_give_the_ends_of_the_scale(name, maps, expected):
    assert float(getattr(association, name)(maps, WHERE)) == pytest.approx(expected)


def test_a_map_that_rises_to_the_right_is_directed_to_the_right():
    assert association.direction(X, WHERE)[0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert association.direction(-X.transpose(1, 2), WHERE)[0].tolist() == pytest.approx([0, -1], abs=1e-6)


def test_the_thresholded_map_overlaps_with_what_it_shows():
    assert association.overlap(torch.cat([INSIDE, 1 - INSIDE]), WHERE).tolist() == [[1, 0, 1], [0, 1, 0]]


def test_otsu_parts_two_levels():
    maps = torch.tensor([[0.0, 0.1, 0.1, 5.0, 5.2, 5.1], [2.0] * 6])
    low, flat = association.otsu(maps).tolist()
    assert 0.1 < low < 5 and flat == 2


@given(scale=st.floats(0.01, 100), offset=st.floats(-10, 10), seed=st.integers(0, 50))
def test_scale_and_offset_of_a_prototype_change_nothing(scale, offset, seed):
    maps = torch.rand(2, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)).double()
    for of in (association.objects, association.contour, association.direction):
        assert torch.allclose(of(maps, WHERE), of(scale * maps + offset, WHERE), atol=1e-6)


def test_without_objects_there_is_no_answer_and_a_crowd_is_none():
    empty = nowhere((SIZE, SIZE))
    for of in (association.objects, association.contour, association.direction, association.overlap):
        assert of(INSIDE, empty).isnan().all()
    crowd = regions(TRUTH, torch.ones(1, dtype=torch.bool), (SIZE, SIZE))
    assert not crowd.inside.any() and crowd.outside.sum() == SIZE**2 - TRUTH.sum()


class FakeSplit:
    """Images and objects of a planted model."""

    def __init__(self, images=3):
        self.model = planted(0, images)
        self.image_ids = list(range(images))

    def image(self, image_id):
        return self.model.images[image_id]

    def instances(self, image_id):
        return self.model.instances[image_id]


def run(folder, model=None, split=None, **fields):
    folder.mkdir(exist_ok=True)
    look = Look((model or tiny_model()).eval(), split or FakeSplit(), InferenceConfig(), "cpu")
    measure(folder, look, ResponsesConfig(random_networks=2, **fields))
    return json.loads((folder / "summary.json").read_text())


def test_the_files_are_those_of_the_contract(tmp_path):
    summary = run(tmp_path)
    assert_as_declared(MEASURE, tmp_path)
    k = summary["prototypes"]
    table, images = pd.read_csv(tmp_path / "prototypes.csv"), pd.read_csv(tmp_path / "responses.csv")
    assert table["source"].value_counts().to_dict() == {name: k for name in ("network", "shuffled", "random 0", "random 1")}
    assert len(images) == 3 * k and set(images["image_id"]) == {0, 1, 2}
    with np.load(tmp_path / "maps.npz") as arrays:
        assert arrays["mean"].shape == (k, summary["height"], summary["width"])


def test_the_same_run_gives_the_same_bytes_and_leaves_the_generator_alone(tmp_path):
    model, state = tiny_model(), torch.random.get_rng_state()
    for name in "ab":
        run(tmp_path / name, model)
    assert torch.equal(state, torch.random.get_rng_state())
    for name in ("responses.csv", "prototypes.csv", "maps.npz", "summary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("padding", ["zeros", "reflect", "circular"])
def test_random_networks_have_the_padding_that_is_looked_at(tmp_path, monkeypatch, padding):
    model, seen = tiny_model(), []
    set_padding(model, padding)
    monkeypatch.setattr(responses, "prototypes", lambda network, *rest: seen.append(network) or prototypes(network, *rest))
    run(tmp_path, model)
    assert len(set(seen)) == 3 and {padding_of(network) for network in seen} == {padding}


def test_a_network_without_prototypes_says_so(tmp_path):
    assert run(tmp_path, tiny_model(TINY_FC_MASK)) == {"prototypes": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_one_image_or_a_diverged_network_is_refused(tmp_path):
    with pytest.raises(UserError, match="two are needed"):
        run(tmp_path, split=FakeSplit(images=1))
    broken = tiny_model()
    torch.nn.init.constant_(broken.branch.protonet.output.bias, torch.nan)
    with pytest.raises(UserError, match="not finite"):
        run(tmp_path, broken)
