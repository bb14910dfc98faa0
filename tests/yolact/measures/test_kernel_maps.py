"""SOLOv2's kernels and mask features under the measures of coefficients and prototypes: YOLACT without boxes."""

import json

import numpy as np
import pytest
import torch

from tests.support.declared import assert_as_declared
from tests.support.networks import TINY_SOLO, TINY_SOLOV2, tiny_model
from tests.yolact.models.test_solo import INFERENCE, drawn
from yolact.config import KeepConfig, NoiseConfig, OracleConfig, ProjectConfig
from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit
from yolact.data.synthetic.shapes import generate_shapes
from yolact.errors import UserError
from yolact.interventions import prepare
from yolact.interventions.compression import training_moments
from yolact.measures.coefficients import MEASURE as COEFFICIENTS
from yolact.measures.coefficients import CoefficientsConfig
from yolact.measures.coefficients.measure import measure as measure_coefficients
from yolact.measures.context import Look
from yolact.measures.leakage import LeakageConfig
from yolact.measures.leakage.measure import measure as measure_leakage
from yolact.measures.probes import MEASURE as PROBES
from yolact.measures.probes import ProbesConfig
from yolact.measures.probes.measure import measure as measure_probes
from yolact.measures.prototypes import PrototypesConfig
from yolact.measures.prototypes.measure import measure as measure_prototypes
from yolact.measures.redundancy import MEASURE as REDUNDANCY
from yolact.measures.redundancy import RedundancyConfig
from yolact.measures.redundancy.measure import measure as measure_redundancy
from yolact.measures.responses import MEASURE as RESPONSES
from yolact.measures.responses import ResponsesConfig
from yolact.measures.responses.measure import measure as measure_responses

K = 16
FEW = INFERENCE.replace(max_detections=5, crop=False)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesConfig(image_size=64, train=1, val=1, test=2))
    return CocoSplit(folder / "test", folder / "annotations" / "instances_test.json")


@pytest.fixture
def look(split):
    return Look(drawn(TINY_SOLOV2, num_classes=len(split.class_names)), split, FEW, "cpu")


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_maps_are_prototypes_and_kernels_coefficients(look):
    assert look.model.maps is look.model.prototypes is look.model.source
    assert look.model.maps.map_count == K and look.model.prototypes.coefficient_bound == float("inf")
    assert tiny_model(TINY_SOLO).maps is None and tiny_model(TINY_SOLO).prototypes is None


def test_measures_of_maps(look, tmp_path):
    (tmp_path / "responses").mkdir()
    measure_responses(tmp_path / "responses", look, ResponsesConfig(images=2, random_networks=1))
    assert_as_declared(RESPONSES, tmp_path / "responses")
    assert summary_of(tmp_path / "responses")["prototypes"] == K
    (tmp_path / "redundancy").mkdir()
    summary = measure_redundancy(tmp_path / "redundancy", look, RedundancyConfig(images=2))
    assert_as_declared(REDUNDANCY, tmp_path / "redundancy")
    assert summary["prototypes"] == K and summary["detections"] > 0
    with np.load(tmp_path / "redundancy" / "redundancy.npz") as arrays:
        assert np.isfinite(arrays["use"]).all()
    (tmp_path / "probes").mkdir()
    measure_probes(tmp_path / "probes", look, ProbesConfig(objects=2, phases=1))
    assert_as_declared(PROBES, tmp_path / "probes")
    assert summary_of(tmp_path / "probes")["stride"] == 32


def test_measures_of_coefficients(look, tmp_path):
    (tmp_path / "coefficients").mkdir()
    measure_coefficients(tmp_path / "coefficients", look, CoefficientsConfig(images=2))
    assert_as_declared(COEFFICIENTS, tmp_path / "coefficients")
    assert summary_of(tmp_path / "coefficients")["prototypes"] == K
    measure_prototypes(tmp_path, look, PrototypesConfig(images=1))
    with np.load(tmp_path / "prototypes.npz") as arrays:
        coefficients, prototypes, masks = arrays["0_coefficients"], arrays["0_prototypes"], arrays["0_masks"]
    soft = torch.tensor(np.tensordot(coefficients, prototypes, 1)).sigmoid()  # as the gallery does
    whole = torch.nn.functional.interpolate(soft[None], size=masks.shape[1:], mode="bilinear")[0] > 0.5
    assert (whole.numpy() != masks).mean() < 1e-3
    measure_leakage(tmp_path, look, LeakageConfig())


@pytest.mark.parametrize(
    "intervention", [KeepConfig(m=2), NoiseConfig(std=0.5), ProjectConfig(m=2), OracleConfig(part="coefficients")]
)
def test_interventions(look, split, intervention):
    image_id = split.image_ids[0]
    change = prepare(intervention, look.model, "cpu", lambda: training_moments(look.model, split, "cpu"))
    (found,) = look.predictor.predict([split.image(image_id)], FEW)
    changed = change(found, split.instances(image_id), image_id, FEW)
    assert len(changed) == len(found) and changed.masks.shape == found.masks.shape


def test_a_model_without_maps_is_refused():
    with pytest.raises(UserError, match="makes no prototypes"):
        prepare(KeepConfig(m=1), tiny_model(TINY_SOLO), "cpu", lambda: None)
