"""Engines give the reference's answers, for every suppression and branch, or say why they can't."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from tests.support.networks import TINY, TINY_FC_MASK, TINY_PLUS, TINY_POINTS, predict, tiny_model
from tests.support.paths import ROOT
from tests.yolact.inference.engines.test_graphs import MASK_RCNN, MS_RCNN, OWN, PANET, lively
from yolact.config import EngineConfig, InferenceConfig
from yolact.inference.engines import compiled as engine_module
from yolact.inference.engines import packages
from yolact.inference.engines.assembly import AssemblyGraph
from yolact.inference.engines.compiled import CompiledEngine
from yolact.inference.engines.engine import EngineError
from yolact.inference.engines.network_graph import NetworkGraph
from yolact.inference.predictor import Predictor
from yolact.models.build import build_model
from yolact.models.layers.padding import set_padding
from yolact.runtime.compiler import CompilerError, cache_folder
from yolact.runtime.profiling import profiled

SECTIONS = {"preprocess", "network", "nms", "assembly"}


def pictures(sizes=((37, 53), (64, 30)), seed=5):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes]


def both(model, config, precision="fp32"):
    chosen = config.replace(engine={"kind": "compiled", "precision": precision})
    return predict(model, pictures(), chosen), predict(model, pictures(), config)


def assert_same(found, expected):
    """fp32: boxes and scores to rounding, labels equal, at most one pixel in 10,000 of the masks."""
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.equal(ours.labels, theirs.labels)
        torch.testing.assert_close(ours.scores, theirs.scores, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(ours.boxes, theirs.boxes, atol=1e-3, rtol=1e-4)
        assert (ours.masks is None) == (theirs.masks is None)
        assert (ours.mask_scores is None) == (theirs.mask_scores is None)
        if ours.mask_scores is not None:
            torch.testing.assert_close(ours.mask_scores, theirs.mask_scores, atol=1e-5, rtol=1e-4)
        if ours.masks is not None:
            assert ours.masks.shape == theirs.masks.shape
            assert (ours.masks != theirs.masks).sum() <= max(2, ours.masks.numel() / 10_000)


@pytest.fixture
def uncompiled(monkeypatch):
    """The engine's graphs as they are: what it makes of them is asked, not the compiler."""
    monkeypatch.setattr(engine_module, "compiled", lambda graph, inputs: graph)


@pytest.fixture(params=["cpu", "gpu"])
def way(request, uncompiled, monkeypatch):
    """The engine's way on either device, walked on the CPU: on a GPU, absent detections are cut off last."""
    if request.param == "gpu":
        from yolact.inference.engines import gpu

        make = CompiledEngine.__init__

        def init(engine, *arguments):
            make(engine, *arguments)
            engine.on_cpu = False

        monkeypatch.setattr(CompiledEngine, "__init__", init)
        monkeypatch.setattr(gpu, "captured", lambda graph: graph)
    return request.param


@pytest.mark.parametrize(
    "config", [TINY, TINY_FC_MASK, TINY_POINTS, TINY_PLUS], ids=["prototypes", "fc_mask", "points", "plus"]
)
@pytest.mark.parametrize("suppression", ["fast", "cross_class", "standard", "traditional"])
def test_detections_are_the_references(way, config, suppression):
    model = lively(tiny_model(config))
    assert_same(*both(model, InferenceConfig(suppression=suppression, score_threshold=0.2, max_detections=20)))


@pytest.mark.parametrize(
    "fields",
    [{"masks": False}, {"crop": False}, {"whole_pixel_boxes": True}, {"score_threshold": 1.0}, {"max_detections": 1}],
    ids=str,
)
def test_fields_mean_the_same(way, fields):
    assert_same(*both(lively(tiny_model()), InferenceConfig(score_threshold=0.1).replace(**fields)))


def test_prototypes_are_kept_and_sections_timed(way):
    seen = []
    with profiled(lambda name: seen.append(name) or nullcontext()):
        found, expected = both(lively(tiny_model()), InferenceConfig())
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.prototypes, theirs.prototypes, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(ours.coefficients, theirs.coefficients, atol=1e-4, rtol=1e-4)
    assert set(seen) >= SECTIONS


def test_a_predictor_is_made_for_one_engine():
    predictor = Predictor(tiny_model())
    encoded = predictor.encode(pictures())
    with pytest.raises(EngineError, match="this predictor's"):
        predictor.detections(encoded, InferenceConfig(engine={"precision": "bf16"}))


@pytest.mark.parametrize("change", ["weights", "padding"])
def test_a_compiled_predictor_sees_no_later_change(uncompiled, change):
    model, config = lively(tiny_model()), InferenceConfig(engine={"kind": "compiled"}, score_threshold=0.2)
    predictor = Predictor(model, config.engine)
    before = predictor.predict(pictures(), config)
    if change == "weights":
        model.head.box.weight.data.mul_(2)
    else:
        set_padding(model, "reflect")
    assert_same(predictor.predict(pictures(), config), before)
    assert_same(*both(model, InferenceConfig(score_threshold=0.2)))


def test_one_forward_pass_serves_several_settings(uncompiled):
    model, engine = lively(tiny_model()), {"kind": "compiled"}
    predictor = Predictor(model, InferenceConfig(engine=engine).engine)
    encoded = predictor.encode(pictures())
    for suppression in ("fast", "standard"):
        config = InferenceConfig(suppression=suppression)
        assert_same(predictor.detections(encoded, config.replace(engine=engine)), predict(model, pictures(), config))


@pytest.mark.parametrize("kind", ["eager", "compiled"])
def test_fp16_needs_a_gpu(kind):
    with pytest.raises(EngineError, match="fp16 needs a GPU"):
        predict(tiny_model(), pictures(), InferenceConfig(engine={"kind": kind, "precision": "fp16"}))


def test_eager_bf16_is_autocast():
    model = lively(tiny_model())
    found = predict(model, pictures(), InferenceConfig(engine={"precision": "bf16"}))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = predict(model, pictures(), InferenceConfig())
    assert torch.equal(found[0].scores, expected[0].scores)


@pytest.mark.parametrize("suppression", ["fast", "standard"])
@pytest.mark.parametrize("config", [MASK_RCNN, MS_RCNN, PANET, OWN], ids=["mask_rcnn", "ms_rcnn", "panet", "import path"])
def test_models_without_a_dense_head_are_compiled_up_to_their_own_postprocessing(way, config, suppression):
    model, inference = lively(build_model(config, 3)), InferenceConfig(suppression=suppression, score_threshold=0.1)
    found, expected = both(model, inference)
    assert len(expected[0])
    assert_same(found, expected)
    names = Predictor(model, EngineConfig(kind="compiled")).section_names
    assert names == ("preprocess", "network", *model.postprocess_sections)


def test_chunks_of_masks_share_a_size(way, monkeypatch):
    monkeypatch.setattr(engine_module, "instances_at_once", lambda rows, columns: 3)
    sizes = set()
    forward = AssemblyGraph.forward
    monkeypatch.setattr(AssemblyGraph, "forward", lambda self, *inputs: sizes.add(len(inputs[0])) or forward(self, *inputs))
    assert_same(*both(lively(tiny_model()), InferenceConfig(score_threshold=0.1, max_detections=7)))
    assert sizes == ({3} if way == "gpu" else set())


def test_without_a_compiler_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", lambda: 1 / 0)
    with pytest.raises(EngineError, match=r"install g\+\+"):
        predict(tiny_model().eval(), pictures(), InferenceConfig(engine={"kind": "compiled"}))


def test_code_is_not_loaded_from_where_others_write(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache_folder().mkdir(parents=True)
    cache_folder().chmod(0o777)
    with pytest.raises(CompilerError, match="others may write"):
        packages.compiled(torch.nn.Identity(), (torch.zeros(1),))


def test_what_cannot_be_compiled_gives_an_engine_error(tmp_path, monkeypatch):
    class Failing(torch.nn.Module):
        def forward(self, x):
            return x if float(x.sum()) > 0 else -x

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EngineError, match=r"compiling Failing failed .*kind to eager"):
        packages.compiled(Failing(), (torch.zeros(1),))
    assert not list(cache_folder().glob("*.pt2"))


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("yolact/ops/boxes.py", True),
        ("yolact/models/one_stage/heads/anchor_head.py", True),
        ("yolact/models/layers/padding.py", True),
        ("yolact/inference/engines/passes/folding.py", True),
        ("experiments/cli/main.py", False),
        ("yolact/training/loop.py", False),
        ("docs/export.md", False),
    ],
)
def test_a_package_is_made_again_if_a_file_that_decides_its_code_changes(monkeypatch, changed, matters):
    graph = NetworkGraph(tiny_model(), torch.float32, masks=True)
    inputs = (torch.zeros(1, 3, 64, 64),)
    before, read = packages._key(graph, inputs), Path.read_bytes
    assert (ROOT / changed).is_file()
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path == ROOT / changed else b""))
    assert (packages._key(graph, inputs) != before) is matters


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_compiled_code_gives_the_references_answers_and_is_kept(monkeypatch, tmp_path, precision):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model, config = lively(tiny_model()), InferenceConfig(score_threshold=0.2)
    found, expected = both(model, config, precision)
    if precision == "fp32":
        assert_same(found, expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert len(ours) and ours.scores[0] == pytest.approx(float(theirs.scores[0]), rel=0.1)
    kept = list(cache_folder().glob("*.pt2"))
    assert len(kept) == 2
    monkeypatch.setattr(packages, "_compile", lambda *_: pytest.fail("compiled again"))
    again, _ = both(lively(tiny_model()), config, precision)
    assert all(torch.equal(a.masks, b.masks) and torch.equal(a.scores, b.scores) for a, b in zip(again, found, strict=True))
