"""The best coefficients, and what the stage writes of them."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from tests.support.declared import assert_as_declared
from tests.support.looks import planted_look
from tests.support.networks import TINY, tiny_model
from tests.support.oracles import FC_MASK, INFERENCE, boxes, found_with, no_truth, none_found, planted_image, truth_of
from tests.support.planted import planted
from yolact.evaluation.objects import mask_iou
from yolact.measures.coefficients import MEASURE, CoefficientsConfig, fitting
from yolact.measures.coefficients.fitting import best_coefficients, coverage, fit
from yolact.measures.coefficients.measure import activation, measure, of_image
from yolact.measures.context import Look, Stopped


def problem(seed, pixels=120, k=5):
    random = torch.Generator().manual_seed(seed)
    maps = torch.rand(pixels, k, generator=random) * 3
    return maps, torch.sigmoid(maps @ torch.randn(k, generator=random) * 1.5)


def loss_of(c, maps, target):
    return fitting._loss(maps.double(), target.double(), torch.as_tensor(c), _ridge(maps))


def _ridge(maps):
    return float(fitting.RIDGE * maps.double().square().mean())


# scipy's L-BFGS-B minimises the same function by another method
@pytest.mark.parametrize("bound", [1.0, 0.3, math.inf])
@pytest.mark.parametrize("seed", range(4))
def test_the_fit_is_the_minimum(seed, bound):
    maps, target = problem(seed)
    reference = minimize(loss_of, np.zeros(5), (maps, target), "L-BFGS-B", bounds=[(-bound, bound)] * 5,
                         options={"ftol": 1e-14, "gtol": 1e-10})  # fmt: skip
    got = fit(maps, target, bound)
    assert got.numpy() == pytest.approx(reference.x, abs=2e-3)
    assert loss_of(got, maps, target) <= reference.fun + 1e-8


def test_coefficients_of_soft_masks_are_recovered():
    random = torch.Generator().manual_seed(0)
    maps, planted_c = torch.rand(400, 6, generator=random), torch.tensor([0.9, -0.8, 0.3, 0.0, -0.2, 0.6])
    assert fit(maps, torch.sigmoid(maps @ planted_c), 1.0).numpy() == pytest.approx(planted_c.numpy(), abs=0.02)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1000), st.floats(0.05, 5), st.sampled_from(["rough", "dead", "twice", "huge", "constant"]))
def test_the_fit_stays_in_its_bounds_and_finite(seed, bound, kind):
    maps, target = problem(seed, pixels=30, k=4)
    maps = {"rough": maps, "dead": maps * 0, "twice": maps[:, [0, 0, 1, 1]], "huge": maps * 1e4, "constant": maps * 0 + 2}[kind]
    for limit in (bound, math.inf):
        got = fit(maps, (target > 0.5).float(), limit)
        assert got.isfinite().all()
        assert got.abs().max() <= limit


def test_a_fit_without_pixels_is_zero():
    assert fit(torch.zeros(0, 3), torch.zeros(0)).tolist() == [0, 0, 0]


def test_coverage_is_the_fraction_of_each_pixel():
    mask = torch.zeros(1, 4, 4, dtype=torch.uint8)
    mask[0, :3, :2] = 1
    assert coverage(mask, (2, 2)).tolist() == [[[1, 0], [0.5, 0]]]
    assert coverage(mask[:0], (2, 2)).shape == (0, 2, 2)


@pytest.mark.parametrize("seed", range(4))
def test_best_is_never_worse_than_predicted(seed):
    model = planted(seed, images=3)
    for prototypes, truth in zip(model.prototypes, model.instances, strict=True):
        random = torch.Generator().manual_seed(seed)
        found = found_with(prototypes, torch.rand(len(truth), prototypes.shape[0], generator=random) - 0.5, truth.boxes)
        masks = truth.masks.bool()
        for bound in (1.0, math.inf):
            best = best_coefficients(found, masks, INFERENCE, bound)
            assert (mask_iou(best.masks, masks) >= mask_iou(found.masks, masks)).all()
            assert best.coefficients.abs().max() <= bound + 1e-6


def test_prototypes_that_are_no_numbers_leave_the_prediction():
    found = found_with(torch.full((2, 8, 8), math.nan), torch.zeros(1, 2), boxes([0, 0, 8, 8]))
    assert best_coefficients(found, torch.ones(1, 8, 8), INFERENCE, 1.0) is found


def test_activation_is_the_mean_inside_the_crop():
    maps = torch.zeros(2, 8, 8)
    maps[0, :4] = 2
    maps[1] = -3
    found = found_with(maps, torch.zeros(2, 2), boxes([1, 1, 7, 7], [0, 5, 8, 8]))
    assert activation(found, INFERENCE).tolist() == [[pytest.approx(1), pytest.approx(3)], [0, pytest.approx(3)]]


class Split:
    """Three planted images: one as found, one without annotations, one with a crowd beside its objects."""

    def __init__(self):
        self.class_names = ["a", "b", "c"]
        self.model = planted(11, images=3)
        self.image_ids = [4, 5, 9]

    def pair(self, image_id):
        found, truth = planted_image(self.model, self.image_ids.index(image_id))
        if image_id == 5:
            truth = no_truth()
        if image_id == 9:
            crowd = [True] + [False] * (len(truth) - 1)
            truth = truth_of(truth.masks, truth.boxes, truth.labels.tolist(), crowd)
        return found, truth

    def image(self, image_id):
        return torch.full((3, 32, 32), image_id, dtype=torch.uint8)

    def instances(self, image_id):
        return self.pair(image_id)[1]


@pytest.fixture
def look():
    split = Split()
    predictor = SimpleNamespace(predict=lambda images, _: [split.pair(int(images[0][0, 0, 0]))[0]])
    branch = TINY.mask_branch.replace(k=split.model.prototypes[0].shape[0])
    return planted_look(predictor, split, model=tiny_model(TINY.replace(mask_branch=branch)))


def test_what_the_stage_writes(look, tmp_path):
    measure(tmp_path, look, CoefficientsConfig(images=3))
    assert_as_declared(MEASURE, tmp_path)
    arrays, summary = np.load(tmp_path / "coefficients.npz"), json.loads((tmp_path / "summary.json").read_text())
    pairs = [look.split.pair(image_id) for image_id in look.split.image_ids]
    detections = sum(len(found) for found, _ in pairs)
    matched = len(pairs[0][1]) + len(pairs[2][1]) - 1
    k = look.split.model.prototypes[0].shape[0]
    assert summary["prototypes"] == k
    assert (summary["images"], summary["detections"], summary["matched"]) == (3, detections, matched)
    assert summary["objects"] == matched, "a crowd is no object"
    assert summary["range"] == 1
    assert arrays["coefficients"].shape == arrays["activation"].shape == (detections, k)
    assert arrays["best"].shape == arrays["free"].shape == (matched, k)
    assert arrays["image"].tolist() == [place for place, (found, _) in enumerate(pairs) for _ in range(len(found))]
    assert set(arrays["image"][arrays["detection"]]) == {0, 2}
    truth = np.concatenate([one.labels.numpy() for _, one in pairs if len(one)])
    crowds = np.concatenate([one.crowd.numpy() for _, one in pairs if len(one)])
    assert arrays["label"][arrays["detection"]].tolist() == truth[~crowds].tolist()
    assert (arrays["box_iou"] == 1).all()
    assert (arrays["iou"] <= arrays["best_iou"]).all()
    assert (arrays["best_iou"] <= arrays["free_iou"]).all()
    assert np.isnan(arrays["other_iou"]).tolist() == [image == 0 for image in arrays["image"][arrays["detection"]]]
    assert summary["other_iou"] < summary["best_iou"], "prototypes of another image know nothing of this one"
    assert summary["best_iou"] > 0.9 > summary["iou"]
    assert summary["subtracted"] is None, "coefficients of zero neither add nor subtract"


def test_the_stage_writes_the_same_bytes_again(look, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        measure(tmp_path / name, look, CoefficientsConfig(images=2))
    for file in ("coefficients.npz", "summary.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_network_without_prototypes_has_none_to_measure(look, tmp_path):
    measure(tmp_path, Look(FC_MASK, look.split, INFERENCE, "cpu"), CoefficientsConfig())
    assert json.loads((tmp_path / "summary.json").read_text()) == {"prototypes": 0}
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_a_stage_that_is_asked_to_stop_stops(look, tmp_path):
    with pytest.raises(Stopped):
        measure(tmp_path, planted_look(None, look.split, model=look.model, should_stop=lambda: True), CoefficientsConfig())


def test_images_without_detections_have_empty_arrays():
    arrays = of_image(none_found(k=4), no_truth(), INFERENCE, 1.0)
    assert arrays["coefficients"].shape == (0, 4)
    assert arrays["best"].shape == (0, 4)
    assert arrays["iou"].shape == (0,)
