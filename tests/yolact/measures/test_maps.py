"""Measures of maps that masks are made of otherwise than by a linear combination: bases and mask features."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from tests.support.declared import assert_as_declared
from tests.support.networks import SIZE, TINY, TINY_FC_MASK, TINY_POINTS, tiny_model
from yolact.config import BlendMaskConfig, InferenceConfig, KeepConfig, NoiseConfig, OracleConfig
from yolact.config.data import ShapesConfig
from yolact.data.coco import CocoSplit
from yolact.data.synthetic.shapes import generate_shapes
from yolact.errors import UserError
from yolact.interventions import prepare
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

BLEND = TINY_POINTS.replace(mask_branch=BlendMaskConfig(bases=4, attention=2, resolution=8, channels=8, convs=0))
NETWORKS = {"bases": (BLEND, 4), "mask features": (TINY_POINTS, 8)}
INFERENCE = InferenceConfig(suppression="standard", score_threshold=0.0, max_detections=5)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    generate_shapes(folder, ShapesConfig(image_size=96, train=1, val=1, test=2))
    return CocoSplit(folder / "test", folder / "annotations" / "instances_test.json")


@pytest.fixture(params=NETWORKS)
def case(request, split):
    config, k = NETWORKS[request.param]
    return Look(tiny_model(config.replace(image_size=96), len(split.class_names)).eval(), split, INFERENCE, "cpu"), k


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


def test_capabilities_of_models():
    expected = {"prototypes": (TINY, True, True), "fc_mask": (TINY_FC_MASK, False, False)}
    expected |= {name: (config, True, False) for name, (config, _) in NETWORKS.items()}
    for config, maps, linear in expected.values():
        model = tiny_model(config).eval()
        assert (model.maps is not None, model.prototypes is not None) == (maps, linear)
        (found,) = model.postprocess(model(torch.rand(1, 3, SIZE, SIZE)), [(40, 50)], INFERENCE)
        assert (found.prototypes is not None, found.coefficients is not None) == (maps, linear)
        if maps:
            assert len(found.prototypes) == model.maps.map_count


def test_responses(case, tmp_path):
    look, k = case
    measure_responses(tmp_path, look, ResponsesConfig(images=2, random_networks=1))
    assert_as_declared(RESPONSES, tmp_path)
    assert summary_of(tmp_path)["prototypes"] == k
    table = pd.read_csv(tmp_path / "prototypes.csv")
    assert table["source"].value_counts().to_dict() == {name: k for name in ("network", "shuffled", "random 0")}


def test_redundancy_without_use(case, tmp_path):
    look, k = case
    summary = measure_redundancy(tmp_path, look, RedundancyConfig(images=2))
    assert_as_declared(REDUNDANCY, tmp_path)
    assert summary["prototypes"] == k and 1 <= summary["effective_rank"] <= k and summary["detections"] == 0
    with np.load(tmp_path / "redundancy.npz") as arrays:
        assert arrays["covariance"].shape == (k, k) and np.isfinite(arrays["correlation"]).all()
        assert np.isnan(arrays["use"]).all() and np.isnan(arrays["positive_share"]).all()


def test_probes_without_the_mask_before_the_crop(case, tmp_path):
    look, k = case
    measure_probes(tmp_path, look, ProbesConfig(objects=2, phases=1))
    assert_as_declared(PROBES, tmp_path)
    summary = summary_of(tmp_path)
    assert summary["prototypes"] == k and summary["stride"] == 32 and summary["mask"]["separation"] is None
    assert summary["position"] >= 0 and all(math.isfinite(summary["readout"][name]) for name in ("x", "y"))


def test_pictures_have_maps_and_no_coefficients(case, tmp_path):
    look, k = case
    summary = measure_prototypes(tmp_path, look, PrototypesConfig(images=1))
    assert summary["images"][0]["prototypes"][0] == k
    with np.load(tmp_path / "prototypes.npz") as arrays:
        assert "0_prototypes" in arrays and "0_coefficients" not in arrays


def test_leakage_without_spill(case, tmp_path):
    look, _ = case
    measure_leakage(tmp_path, look, LeakageConfig())
    assert (tmp_path / "summary.json").is_file()


SENTENCE = r": this network's masks are no linear combinations of its maps, so that it has no coefficients"


def test_what_needs_coefficients_refuses(case, tmp_path):
    look, _ = case
    with pytest.raises(UserError, match="^coefficients" + SENTENCE):
        measure_coefficients(tmp_path, look, CoefficientsConfig())
    for intervention in (KeepConfig(m=1), NoiseConfig(std=0.1), OracleConfig(part="coefficients")):
        with pytest.raises(UserError, match=r"^inference\.intervention" + ".*" + SENTENCE):
            prepare(intervention, look.model, "cpu", lambda: None)
