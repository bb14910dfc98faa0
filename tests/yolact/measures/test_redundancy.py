"""Redundancy of planted prototypes, and the files that the measure leaves."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from tests.support.declared import assert_as_declared
from tests.support.looks import planted_look
from tests.support.networks import TINY, TINY_FC_MASK, tiny_model
from tests.support.planted import CLASSES, planted
from yolact.config import InferenceConfig
from yolact.errors import UserError
from yolact.measures.context import Look, Stopped
from yolact.measures.redundancy import MEASURE, RedundancyConfig
from yolact.measures.redundancy.measure import measure
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.structures import Detections

SEEDS = range(5)


def detections(maps, coefficients, labels=None, scores=None):
    n = len(coefficients)
    masks = torch.zeros(n, *maps.shape[-2:], dtype=torch.bool)
    labels = torch.zeros(n, dtype=torch.int64) if labels is None else labels
    return Detections(torch.zeros(n, 4), torch.ones(n) if scores is None else scores, labels, masks, coefficients, maps)


@dataclass
class PlantedSplit:
    """Image ids are places in the planted lists; an image says its own id."""

    model: object
    class_names: list[str] = field(default_factory=lambda: [f"class {i}" for i in range(CLASSES)])

    @property
    def image_ids(self):
        return list(range(len(self.model.images)))

    def image(self, image_id):
        return torch.full((3, 2, 2), image_id, dtype=torch.uint8)


@dataclass
class PlantedNetwork:
    model: object

    def predict(self, images, inference):
        i = int(images[0][0, 0, 0])
        return [detections(self.model.prototypes[i], self.model.coefficients[i], self.model.instances[i].labels)]


def measured(model, folder, images=100):
    summary = measure(folder, planted_look(PlantedNetwork(model), PlantedSplit(model)), RedundancyConfig(images=images))
    assert_as_declared(MEASURE, folder)
    with np.load(folder / "redundancy.npz", allow_pickle=False) as file:
        return summary, dict(file)


@pytest.fixture(scope="module", params=SEEDS)
def case(request, tmp_path_factory):
    model = planted(request.param)
    return model, *measured(model, tmp_path_factory.mktemp("planted"))


def test_the_planted_duplicate_is_found_and_unrelated_ones_are_not(case):
    model, summary, _ = case
    ((copy, original),) = model.duplicates.items()
    expected = [{copy, original}, {model.kinds.index("localising"), model.kinds.index("background")}]  # 1 - the other
    if expected[0] & expected[1]:
        expected = [expected[0] | expected[1] | {i for i, kind in enumerate(model.kinds) if kind == "localising"}]
    assert sorted(map(sorted, expected)) == summary["duplicates"]


def test_the_effective_rank_of_planted_prototypes_is_what_their_pixels_say(case):
    model, summary, _ = case
    pixels = torch.cat([maps.flatten(1) for maps in model.prototypes], 1).double().numpy()
    shares = np.linalg.svd(pixels - pixels.mean(1, keepdims=True), compute_uv=False) ** 2
    shares = shares[shares > 0] / shares.sum()
    assert summary["effective_rank"] == pytest.approx(float(np.prod(shares**-shares)))
    assert 1 < summary["effective_rank"] < len(model.kinds) - 1


def test_use_and_signs_are_the_planted_ones(case):
    model, summary, arrays = case
    used = [i for i, sign in enumerate(model.signs) if sign != 0]
    unused = [i for i, sign in enumerate(model.signs) if sign == 0]
    amplitude = np.sqrt(np.diag(arrays["covariance"]) + arrays["mean"] ** 2).clip(1e-12)
    relative = arrays["use"] / amplitude  # about the mean |coefficient|, whatever strength was drawn
    assert relative[used].min() > 3 * relative[unused].max()
    for i, sign in enumerate(model.signs):
        if sign in (1, -1):
            assert arrays["positive_share"][i] == (sign > 0)
        elif sign is None:
            assert 0.1 < arrays["positive_share"][i] < 0.9
    assert summary["detections"] == sum(map(len, model.coefficients)) == arrays["detections_per_class"].sum()


def test_a_dead_prototype_is_named_constant(case):
    model, summary, arrays = case
    dead = [i for i in range(len(model.kinds)) if arrays["covariance"][i, i] == 0]
    assert len(dead) == 1 and summary["constant"] == dead


def test_use_by_hand():
    """Two images of 1 x 2 pixels: rms of prototype 0 is 5/sqrt(2) and 1, of prototype 1 it is 2 and 0."""
    moments = PrototypeMoments(2, classes=3)
    low = torch.tensor([0.9, 0.1])  # the second detection is below the threshold
    moments.add(detections(torch.tensor([[[3.0, 4.0]], [[2.0, 2.0]]]), torch.tensor([[-1.0, 0.5], [9, 9]]), scores=low))
    moments.add(detections(torch.tensor([[[1.0, 1.0]], [[0.0, 0.0]]]), torch.tensor([[0.5, 1.0]]), torch.tensor([2])))
    first, second = 5 / 2**0.5, 0.5
    assert np.allclose(moments.use, [(first + second) / 2, 0.5])
    assert np.allclose(moments.use_per_class, [[first, 1.0], [np.nan, np.nan], [second, 0]], equal_nan=True)
    assert moments.positive_share.tolist() == [0.5, 1.0]
    assert moments.mean.tolist() == [9 / 4, 1.0]
    assert np.allclose(moments.covariance, [[27 / 4 - 81 / 16, 14 / 4 - 9 / 4], [14 / 4 - 9 / 4, 1]])


def test_without_detections_there_is_no_use():
    moments = PrototypeMoments(2, classes=1)
    moments.add(detections(torch.rand(2, 3, 3), torch.zeros(0, 2)))
    assert moments.detections == 0 and np.isnan(moments.use).all() and np.isnan(moments.positive_share).all()


def test_prototypes_that_are_no_numbers_are_refused():
    with pytest.raises(UserError, match=r"not finite.*training\.lr"):
        PrototypeMoments(1, 1).add(detections(torch.full((1, 2, 2), float("nan")), torch.zeros(1, 1)))


def test_files_repeat_byte_for_byte_and_count_the_images(tmp_path):
    model = planted(0, images=6)
    for name in "ab":
        (tmp_path / name).mkdir()
        summary, arrays = measured(model, tmp_path / name, images=4)
    for name in ("redundancy.npz", "summary.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert json.loads((tmp_path / "a" / "summary.json").read_text()) == summary
    k = len(model.kinds)
    assert (summary["images"], summary["pixels"]) == (4, 4 * 32 * 32)
    shapes = {name: array.shape for name, array in arrays.items()}
    assert shapes == {
        "mean": (k,), "covariance": (k, k), "correlation": (k, k), "eigenvalues": (k,), "explained": (k,), "use": (k,),
        "use_per_class": (CLASSES, k), "detections_per_class": (CLASSES,), "positive_share": (k,), "class_names": (CLASSES,),
    }  # fmt: skip


@pytest.mark.parametrize(("config", "k"), [(TINY, 4), (TINY_FC_MASK, 0)])
def test_a_real_network(config, k, tmp_path):
    look = Look(tiny_model(config).eval(), PlantedSplit(planted(0, images=3)), InferenceConfig(), "cpu")
    summary = measure(tmp_path, look, RedundancyConfig())
    assert summary["prototypes"] == k
    assert (tmp_path / "redundancy.npz").exists() == (k > 0)
    assert k or summary == {"prototypes": 0}


def test_it_stops_when_asked_to(tmp_path):
    model = planted(0, images=3)
    with pytest.raises(Stopped):
        measure(
            tmp_path, planted_look(PlantedNetwork(model), PlantedSplit(model), should_stop=lambda: True), RedundancyConfig()
        )
    assert not list(tmp_path.iterdir())
