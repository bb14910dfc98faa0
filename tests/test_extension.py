"""The files and commands of docs/extend.md: everything that can be added from outside, by import path, and what it touches."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.__main__ import main as benchmark
from experiments.cli.main import call
from experiments.store.folder import Store
from tests.support.networks import TINY, loss, predict, random_batch, target, tiny_model
from tests.support.paths import ROOT
from yolact.config import (
    BackboneConfig,
    CustomMaskConfig,
    CustomModelConfig,
    EngineConfig,
    FCMaskConfig,
    InferenceConfig,
    NoMaskConfig,
)
from yolact.config import model as config_module
from yolact.config.base import ConfigError
from yolact.inference.engines.compiled import CompiledEngine
from yolact.inference.export import ExportError, export_model
from yolact.measures import declaration
from yolact.models.masks.mask_branch import Masks
from yolact.models.masks.prototypes import PrototypeBranch
from yolact.models.one_stage.heads import HEADS

PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r'^```\w+ title="(\S+)"\n(.*?)^```', PAGE, re.DOTALL | re.MULTILINE))
FILES = {name: text for name, text in BLOCKS.items() if not name.startswith("yolact/")}
COMMANDS = "".join(re.findall(r"^```bash\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)).splitlines()
TINY_DATA = "kind: shapes\nname: tiny\nshapes: {image_size: 64, train: 4, val: 2, test: 2, seed: 3}\n"
SETTINGS = {
    "training.iterations": 1,
    "training.batch_size": 2,
    "training.warmup_iterations": 1,
    "training.log_every": 1,
    "speed.repeats": 1,
    "speed.warmup": 0,
    "inference.max_detections": 3,
    "inference.score_threshold": 0.0,
}
INFERENCE = InferenceConfig(score_threshold=0.0, max_detections=5)
PLAIN = TINY.replace(backbone=BackboneConfig(name="lab.backbone:plain", weights=None, options={"width": 8}))
MODELS = {
    "backbone": PLAIN,
    "square": PLAIN.replace(mask_branch=CustomMaskConfig(kind="lab.square:SquareMasks", options={"side": 7})),
    "softmax": PLAIN.replace(mask_branch=CustomMaskConfig(kind="lab.softmax:SoftmaxMasks", options={"k": 4, "channels": 8})),
    "grid": CustomModelConfig(kind="lab.grid:Grid", image_size=64, options={"channels": 8}),
}


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A working directory with the page's files in it; nothing else leads to them."""

    def forget():
        declaration.cache_clear()
        for name in [name for name in sys.modules if name == "lab" or name.startswith("lab.")]:
            del sys.modules[name]

    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "lab" / "__init__.py").touch()
    (tmp_path / "tiny.yaml").write_text(TINY_DATA)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    forget()
    yield tmp_path
    forget()


def command(line, *more):
    """Run a command line of the page."""
    program, *words = shlex.split(line)
    if program == "python":
        return benchmark([*words[2:], *more])
    return call([*words, *more])


def planned(capsys, *more):
    assert call(["plan", "ours.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml", "--json", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_page_has_a_file_for_each_thing_and_a_command_for_each_step():
    assert set(FILES) == {"ours.yaml"} | {
        f"lab/{name}.py" for name in ("backbone", "square", "softmax", "grid", "fill", "numbered", "topk")
    }
    assert {" ".join(line.split()[:2]) for line in COMMANDS} == {
        *(f"yolact {name}" for name in ("plan", "run", "table", "report", "data")),
        "python -m",
    }


@pytest.fixture
def centre(monkeypatch):
    """The page's dense head inside the package, by the lines that it adds to existing files."""
    config_text, head_text = (text for name, text in BLOCKS.items() if name.startswith("yolact/"))
    namespace = {"__name__": "centre_config"}
    exec(compile(config_text, "docs/extend.md", "exec", dont_inherit=True), namespace)
    monkeypatch.setattr(config_module, "CentreConfig", namespace["CentreConfig"], raising=False)
    head = {"__name__": "centre_head"}
    exec(compile(head_text, "docs/extend.md", "exec", dont_inherit=True), head)
    monkeypatch.setitem(HEADS, config_module.CentreConfig, head["CentreHead"])
    return config_module.CentreConfig(
        **{name: getattr(TINY, name) for name in ("image_size", "backbone", "fpn", "mask_branch")}
    )


@pytest.mark.parametrize("branch", [TINY.mask_branch, FCMaskConfig(size=4), NoMaskConfig(), MODELS["square"].mask_branch])
def test_a_head_inside_the_package_works_with_every_mask_branch(lab, centre, branch):
    model = tiny_model(centre.replace(mask_branch=branch))
    images, targets = random_batch(1)
    terms = loss(model.train(), images, [*targets[:1], target([])])
    sum(terms.values()).backward()
    assert all(torch.isfinite(term) for term in terms.values())
    (found,) = predict(model, [torch.zeros(3, 50, 70, dtype=torch.uint8)], INFERENCE)
    assert len(found) and (found.masks is None) == isinstance(branch, NoMaskConfig)
    whole = model.assign(targets)
    exact = whole.boxes[whole.objects]
    locations = model.head.locations[whole.location]
    distances = torch.cat([locations[:, :2] - exact[:, :2], exact[:, 2:] - locations[:, :2]], 1) / locations[:, 2:].repeat(1, 2)
    torch.testing.assert_close(model.head.decode(distances.clamp(min=1e-6).expm1().log(), locations), exact, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_a_network_learns_and_predicts(lab, name):
    model = tiny_model(MODELS[name])
    images, targets = random_batch(1)
    terms = loss(model.train(), images, targets)
    assert all(torch.isfinite(term) for term in terms.values())
    sum(terms.values()).backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)
    (found,) = predict(model, [torch.zeros(3, 50, 70, dtype=torch.uint8)], INFERENCE)
    assert found.masks.shape == (len(found), 50, 70) and 0 < len(found) <= 5


def test_loss_does_not_depend_on_how_a_batch_is_split(lab):
    images, targets = random_batch(2, images=4)
    for config in MODELS.values():
        model = tiny_model(config).train()
        assignment = model.assign(targets)
        whole = model.loss(images, assignment)
        halves = [model.loss(images[at], model.assign(targets[at]), assignment.counts) for at in (slice(2), slice(2, 4))]
        for term in whole.keys() - {"semantic"}:
            torch.testing.assert_close(halves[0][term] + halves[1][term], whole[term], rtol=1e-4, atol=1e-4)


def test_a_model_of_its_own_compiles_and_is_not_exported(lab, tmp_path, monkeypatch):
    monkeypatch.setattr("yolact.inference.engines.compiled.compiled", lambda graph, inputs: graph)
    model, images = tiny_model(MODELS["grid"]).eval(), [torch.zeros(3, 64, 64, dtype=torch.uint8)]
    (found,) = predict(model, images, INFERENCE.replace(engine=EngineConfig(kind="compiled")))
    (expected,) = predict(model, images, INFERENCE)
    assert len(expected)
    torch.testing.assert_close(found.boxes, expected.boxes, atol=1e-3, rtol=1e-4)
    with pytest.raises(ExportError, match="Grid can't be exported"):
        export_model(model, tmp_path / "net.pt2", "torch")


@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("backbone", {"backbone": {"options": {"widht": 8}}}, r"model\.backbone\.name 'lab\.backbone:plain' .*'widht'"),
        ("square", {"mask_branch": {"options": {"side": 7, "channels": 8}}}, r"model\.mask_branch\.kind .*'channels'"),
        ("grid", {"options": {"depth": 3}}, r"model\.kind .*'depth'"),
        ("backbone", {"backbone": {"name": "lab.grid:Raw"}}, r"can't be called with options"),
        (
            "square",
            {"mask_branch": {"kind": "torch.nn:Flatten", "options": {}}},
            "returns a Flatten; it must return .*MaskBranch",
        ),
    ],
)
def test_wrong_options_and_wrong_classes_are_errors_of_the_user(lab, name, changed, says):
    data = MODELS[name].to_data()
    for field, value in changed.items():
        data[field] = {**data[field], **value} if "options" in value or "name" in value else value
    with pytest.raises(ConfigError, match=says):
        tiny_model(type(MODELS[name]).from_data(data))


def test_the_compiled_engine_leaves_masks_to_a_branch_that_makes_its_own(monkeypatch):
    class Empty(PrototypeBranch):
        def masks(self, instances, context, size, inference):
            return Masks(torch.zeros(len(instances.boxes), *size, dtype=torch.bool))

    model = tiny_model().eval()
    model.branch.__class__ = Empty
    with torch.inference_mode():
        raw = model(torch.zeros(1, 3, 64, 64))
        monkeypatch.setattr(CompiledEngine, "_survivors", lambda self, *arguments: model._survivors(*arguments))
        found = CompiledEngine(model, "fp32")._detections(raw, 0, (50, 70), INFERENCE)
    assert len(found) and not found.masks.any()


def test_an_importer(lab, capsys):
    folder = lab / "raw" / "train"
    folder.mkdir(parents=True)
    instances = np.zeros((20, 30), dtype=np.int64)
    instances[2:8, 3:13], instances[10:15, 20:24] = 1, 5
    Image.fromarray(np.full((20, 30, 3), 90, dtype=np.uint8)).save(folder / "a.png")
    np.save(folder / "a.npy", instances)
    for line in (line for line in COMMANDS if line.startswith("yolact data")):
        assert command(line) == 0, capsys.readouterr().err
    data = json.loads((lab / "numbered" / "annotations" / "instances_train.json").read_text())
    assert [(each["bbox"], each["area"]) for each in data["annotations"]] == [([3, 2, 10, 6], 60), ([20, 10, 4, 5], 20)]
    assert data["categories"] == [{"id": 1, "name": "cell"}]


def test_a_benchmark(lab, capsys):
    (line,) = (line for line in COMMANDS if line.startswith("python"))
    assert command(line) == 0
    assert re.fullmatch(r"sort: \S+ ms\ntopk: \S+ ms\n", capsys.readouterr().out)


def test_an_edit_changes_the_ids_of_what_runs_the_code_and_of_nothing_else(lab, capsys):
    def trainings():
        found = planned(capsys)
        return {run["variant"]: run["stages"]["train"] for run in found["runs"]}

    before = trainings()
    (lab / "lab" / "grid.py").write_text(FILES["lab/grid.py"] + "# edited\n")
    after = trainings()
    assert {name for name in before if before[name] != after[name]} == {"backbone", "square", "softmax", "grid"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("lab.backbone:plain", "lab.backbon:plain", r"model\.backbone\.name: no module 'lab\.backbon'"),
        ("lab.square:SquareMasks", "lab.square:Square", r"model\.mask_branch\.kind: .*square\.py defines no 'Square'"),
        ("lab.grid:Grid", "gird:Grid", r"model\.kind: no module 'gird'"),
        ("lab.fill]", "lab.fil]", r"ours\.yaml:4: measure: .*lab\.fil"),
    ],
)
def test_what_is_missing_is_one_error_that_names_the_field(lab, capsys, old, new, says):
    (lab / "ours.yaml").write_text(FILES["ours.yaml"].replace(old, new))
    assert call(["plan", "ours.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml"]) == 2
    error = capsys.readouterr().err
    assert re.search(says, error) and error.count("\n") == 1, error


@pytest.mark.parametrize("safe", [[], ["-P"]])
def test_the_command_imports_from_the_working_directory(lab, safe):
    code = "import sys; sys.argv[0] = 'yolact'; from experiments.cli.main import main; main()"
    words = ["plan", "ours.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *safe, "-c", code, *words]
    done = subprocess.run(command, cwd=lab, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "25 stages" in done.stdout


@pytest.mark.slow
def test_the_spec_is_planned_run_and_reported(lab, capsys):
    settings = [part for field, value in SETTINGS.items() for part in ("--set", f"{field}={value}")]
    outputs = {}
    for line in (line for line in COMMANDS if line.startswith("yolact") and "data" not in line):
        name = line.split()[1]
        more = ["--data", "tiny.yaml", *settings] if name in ("plan", "run") else []
        assert command(line, *more) == 0, capsys.readouterr().err
        outputs[name] = capsys.readouterr().out
    assert {view.state for view in Store(lab / "results").records()} == {"done"}
    rows = ("YOLACT", "plain backbone", "small square masks", "softmax weights", "grid detector")
    assert all(row in outputs["table"] for row in rows)
    assert "Box filled by its mask" in outputs["table"]
    (page,) = (lab / "results" / "reports").glob("*/index.html")
    assert all(row in page.read_text() for row in rows)
    (lab / "lab" / "grid.py").write_text(FILES["lab/grid.py"] + "# edited\n")
    assert call(["plan", "ours.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml", *settings]) == 0
    assert "lab.grid:Grid" in capsys.readouterr().out
