"""Noise on coefficients: nothing at 0, the same for the same image, and worse masks with more of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.oracles import FC_MASK, INFERENCE, MODEL, boxes, found_with, no_truth, none_found
from tests.support.planted import planted
from yolact.config import NoiseConfig
from yolact.errors import UserError
from yolact.evaluation.objects import mask_iou
from yolact.interventions import prepare
from yolact.interventions.noise import draw, prepare_noise


def planted_detections(seed):
    model = planted(seed, images=1)
    return found_with(model.prototypes[0], model.coefficients[0], model.instances[0].boxes)


def noisy(found, std, on="all", image_id=3):
    return prepare_noise(NoiseConfig(std=std, on=on), MODEL)(found, no_truth(), image_id, INFERENCE)


@pytest.mark.parametrize("on", ["all", "one"])
def test_no_noise_changes_nothing(on):
    found = planted_detections(0)
    assert noisy(found, 0.0, on) is found


@given(st.integers(0, 2**40), st.integers(0, 6), st.integers(1, 9))
def test_what_is_drawn(image_id, n, k):
    coefficients = torch.zeros(n, k)
    every, one = draw(coefficients, image_id, False), draw(coefficients, image_id, True)
    assert every.shape == one.shape == (n, k)
    assert torch.equal(every, draw(coefficients, image_id, False))
    assert ((one != 0).sum(dim=1) == 1).all()
    assert torch.equal(one[one != 0], every[one != 0])


def test_noise_has_its_standard_deviation_and_differs_between_images():
    found = found_with(torch.rand(32, 8, 8), torch.zeros(100, 32), boxes(*[[0, 0, 8, 8]] * 100))
    got = noisy(found, 0.5).coefficients
    assert got.std().item() == pytest.approx(0.5, rel=0.03)
    assert got.mean().item() == pytest.approx(0, abs=0.02)
    assert not torch.equal(got, noisy(found, 0.5, image_id=4).coefficients)
    assert torch.allclose(noisy(found, 1.0).coefficients, 2 * got)
    columns = (noisy(found, 0.5, "one").coefficients != 0).float().argmax(dim=1)
    assert len(columns.unique()) > 20


@pytest.mark.parametrize(("on", "worst"), [("all", 0.6), ("one", 0.9)])
def test_more_noise_makes_worse_masks(on, worst):
    means = []
    for std in (0.05, 0.2, 0.8, 3.2):
        ious = [mask_iou(noisy(found, std, on).masks, found.masks) for found in map(planted_detections, range(12))]
        means.append(float(torch.cat(ious).mean()))
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.75
    assert means[-1] < worst


def test_noise_on_one_coefficient_harms_less_than_on_all():
    found = planted_detections(1)
    assert mask_iou(noisy(found, 0.5, "one").masks, found.masks).mean() > mask_iou(noisy(found, 0.5).masks, found.masks).mean()


def test_images_without_detections():
    assert len(noisy(none_found(), 0.5)) == 0


def test_a_network_without_prototypes_is_refused():
    with pytest.raises(UserError, match=r"kind=noise.*prototypes"):
        prepare(NoiseConfig(), FC_MASK, "cpu", pytest.fail)


def test_detections_without_masks_are_refused():
    found = planted_detections(0)
    bare = type(found)(found.boxes, found.scores, found.labels, None)
    with pytest.raises(UserError, match=r"inference\.masks"):
        noisy(bare, 0.5)
