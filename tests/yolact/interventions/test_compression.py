"""Keeping some prototypes, and projecting them on their components."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.networks import TINY_FC_MASK, predict, tiny_model
from tests.support.planted import CLASSES, planted
from yolact.config import InferenceConfig
from yolact.config.interventions import KeepConfig, ProjectConfig
from yolact.errors import UserError
from yolact.interventions import prepare
from yolact.interventions.compression import TRAINING_IMAGES, Keep, first_components, most_used, training_moments
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.ops.mask_assembly import assemble
from yolact.ops.masks import binarize
from yolact.structures import Detections

K = 4
LOW = InferenceConfig(score_threshold=0.0, max_detections=10)


class FakeSplit:
    """Random images, and a record of which were asked for."""

    class_names = ("a", "b", "c")

    def __init__(self, images):
        self.image_ids = list(range(images))
        self.asked = []

    def image(self, image_id):
        self.asked.append(image_id)
        return torch.randint(0, 256, (3, 48, 64), generator=torch.Generator().manual_seed(image_id), dtype=torch.uint8)


@pytest.fixture(scope="module")
def network():
    return tiny_model().eval()


@pytest.fixture(scope="module")
def found(network):
    detections = predict(network, [FakeSplit(9).image(8)], LOW)[0]
    # as if trained: random weights give maps and coefficients near 0, where a sigmoid's rounding decides
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.rand(len(detections), K, generator=generator) * 2 - 1
    maps = torch.rand(detections.prototypes.shape, generator=generator) * 4
    masks = binarize(assemble(maps, coefficients, _fractions(detections), LOW.crop_padding), (48, 64))
    return replace(detections, coefficients=coefficients, prototypes=maps, masks=masks)


def _fractions(detections):
    return detections.boxes / torch.tensor([64, 48, 64, 48])


def prepared(config, network, train):
    return prepare(config, network, "cpu", partial(training_moments, network, train, "cpu"))


def same_up_to_rounding(one, other):
    return (one.masks != other.masks).float().mean() < 1e-4


@pytest.mark.parametrize("kind", [KeepConfig, ProjectConfig])
@pytest.mark.parametrize("m", [K, K + 1, 1000])
def test_with_all_of_them_detections_stay(network, found, kind, m):
    assert found.masks.any()
    after = prepared(kind(m=m), network, FakeSplit(3))(found, None, 0, LOW)
    assert same_up_to_rounding(found, after)
    assert torch.equal(after.coefficients, found.coefficients)
    assert torch.equal(after.boxes, found.boxes) and torch.equal(after.scores, found.scores)


@pytest.mark.parametrize("kind", [KeepConfig, ProjectConfig])
def test_with_few_of_them_masks_change(network, found, kind):
    after = prepared(kind(m=1), network, FakeSplit(3))(found, None, 0, LOW)
    assert not same_up_to_rounding(found, after)


def test_statistics_come_from_the_first_training_images(network):
    split = FakeSplit(TRAINING_IMAGES + 5)
    prepared(KeepConfig(m=2), network, split)
    assert split.asked == list(range(TRAINING_IMAGES))


def test_a_network_without_prototypes_is_refused():
    for config in (KeepConfig(), ProjectConfig()):
        with pytest.raises(UserError, match=rf"intervention\.kind={config.kind}: this network makes no prototypes"):
            prepared(config, tiny_model(TINY_FC_MASK).eval(), FakeSplit(1))


def moments_of(model):
    moments = PrototypeMoments(len(model.kinds), CLASSES)
    for maps, coefficients, truth in zip(model.prototypes, model.coefficients, model.instances, strict=True):
        moments.add(Detections(truth.boxes, torch.ones(len(truth)), truth.labels, truth.masks.bool(), coefficients, maps))
    return moments


@pytest.mark.parametrize("seed", range(5))
def test_the_planted_used_prototypes_are_kept(seed):
    model = planted(seed)
    level = [maps / maps.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6) for maps in model.prototypes]
    used = [sign != 0 for sign in model.signs]
    kept = most_used(moments_of(replace(model, prototypes=level)), sum(used))
    assert kept.tolist() == used


def nothing_found(maps):
    return Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long(), None, torch.zeros(0, len(maps)), maps)


def test_without_detections_the_first_ones_are_kept():
    moments = PrototypeMoments(3, 1)
    moments.add(nothing_found(torch.rand(3, 2, 2)))
    assert most_used(moments, 2).tolist() == [True, True, False]


def test_keep_drops_the_others_share_of_every_logit(network, found):
    kept = torch.tensor([True, False, True, False])
    after = Keep(network.branch, kept)(found, None, 0, LOW)
    alone = assemble(found.prototypes[kept], found.coefficients[:, kept], _fractions(found), LOW.crop_padding)
    assert torch.equal(after.masks, binarize(alone, (48, 64)))
    assert (after.coefficients[:, ~kept] == 0).all()


def projection(maps, m):
    """The projection on m components of these maps' own pixels."""
    moments = PrototypeMoments(len(maps), 1)
    moments.add(nothing_found(maps))
    return first_components(None, moments, m)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 8))
def test_projecting_is_idempotent_keeps_the_mean_and_has_rank_m(seed, k, m):
    maps = torch.rand(k, 6, 7, generator=torch.Generator().manual_seed(seed)) * 3
    project = projection(maps, m).project
    once = project(maps)
    assert torch.allclose(project(once), once, atol=1e-4)
    assert torch.allclose(once.mean((1, 2)), maps.mean((1, 2)), atol=1e-4)
    centred = (once - once.mean((1, 2), keepdim=True)).flatten(1)
    assert torch.linalg.matrix_rank(centred, tol=1e-3) <= min(m, k)
    if m >= k:
        assert torch.allclose(once, maps, atol=1e-4)


def test_more_components_lose_less():
    maps = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(1))
    lost = [float((projection(maps, m).project(maps) - maps).square().sum()) for m in range(1, 7)]
    assert lost == sorted(lost, reverse=True) and lost[0] > 0.1


def test_prototypes_on_a_plane_need_two_components():
    generator = torch.Generator().manual_seed(2)
    plane = torch.rand(5, 2, generator=generator) @ torch.rand(2, 64, generator=generator) + torch.arange(5.0)[:, None]
    maps = plane.reshape(5, 8, 8)
    assert torch.allclose(projection(maps, 2).project(maps), maps, atol=1e-4)
    assert not torch.allclose(projection(maps, 1).project(maps), maps, atol=1e-2)
