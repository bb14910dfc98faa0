"""The user's own code by import path: found without being imported, part of ids, kept, and the same in every process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pytest

from experiments.cli.main import call
from experiments.launch.slurm import snapshot as snapshots
from experiments.stages.custom_code import CustomCodeError, code_digests, custom_code
from experiments.store.folder import Store
from tests.support.paths import ROOT
from tests.support.processes import fakes

NET = "raise RuntimeError('imported')\ndef build(config): ...\nclass Net: ...\nsize = 3\n"
LAYOUTS = {
    "package": ("own.deep.net:build", ["own/__init__.py", "own/deep/__init__.py", "own/deep/net.py", "own/other.py"]),
    "folders": ("own.net:build", ["own/net.py", "own/other.py"]),
    "module": ("own_net:build", ["own_net.py"]),
    "a package itself": ("own:build", ["own/__init__.py", "own/other.py"]),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lay(folder, layout):
    reference, names = LAYOUTS[layout]
    module = reference.partition(":")[0].replace(".", "/")
    for name in [*names, "elsewhere/unrelated.py"]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NET if name in (f"{module}.py", f"{module}/__init__.py") else f"# {name}\n")
    return reference, names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_code_of_an_import_path(folder, layout):
    reference, names = lay(folder, layout)
    code = custom_code(reference)
    assert (sorted(code.files), code.installed) == (sorted(names), False)
    for name in names:
        before = (folder / name).read_text()
        (folder / name).write_text(f"{before}X = 1\n")
        assert custom_code(reference).digest != code.digest, name
        (folder / name).write_text(before)
    (folder / "elsewhere" / "unrelated.py").write_text("X = 1\n")
    assert custom_code(reference).digest == code.digest


@pytest.mark.parametrize("reference", ["yolact.models.backbones:build_backbone", "click.core:Command"])
def test_installed_code_and_the_projects_own_count_by_their_file(reference):
    code = custom_code(reference)
    assert code.installed
    assert len(code.files) == 1


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("own_net:missing", "defines no 'missing'"),
        ("own_missing:build", "no module 'own_missing'"),
        ("own_net.deeper:build", "no module 'own_net.deeper'"),
        ("elsewhere.missing:build", "no module 'elsewhere.missing'"),
        ("elsewhere:build", "no module 'elsewhere'"),
        ("broken:build", "broken.py:1:"),
        ("sys:path", "no module 'sys'"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_the_field(folder, reference, says):
    lay(folder, "module")
    (folder / "broken.py").write_text("def build(:\n")
    with pytest.raises(CustomCodeError, match=says):
        code_digests({"model": {"backbone": {"name": reference}}})
    if "broken" not in reference:
        with pytest.raises(CustomCodeError, match=r"^model\.kind: "):
            code_digests({"model": {"kind": reference}})


def test_which_fields_name_code(folder):
    lay(folder, "module")
    fields = {
        "model": {
            "kind": "own_net:Net",
            "backbone": {"name": "own_net:build", "options": {"name": "no.such:thing"}},
            "mask_branch": {"kind": "own_net:size"},
        },
        "training": {"start_from": "no.such:thing", "kind": "plain"},
        "split": "a:b",
    }
    assert sorted(code_digests(fields)) == ["own_net:Net", "own_net:build", "own_net:size"]
    assert code_digests({"model": {"kind": "yolact", "backbone": {"name": "resnet50"}}}) == {}


def planned(capsys, name):
    arguments = ["plan", "quickstart", "--scale", "toy", "--seeds", "0", "--set", f"model.backbone.name={name}", "--json"]
    assert call(arguments) == 0, capsys.readouterr().err
    return sorted(stage["id"] for stage in json.loads(capsys.readouterr().out)["stages"])


def test_a_plans_ids_follow_the_code(folder, capsys):
    lay(folder, "package")
    before = planned(capsys, "own.deep.net:build")
    assert planned(capsys, "own.deep.net:build") == before
    (folder / "own" / "other.py").write_text("X = 1\n")
    after = planned(capsys, "own.deep.net:build")
    assert not set(before) & set(after), "all build on the training"
    arguments = ["plan", "quickstart", "--scale", "toy", "--set", "model.backbone.name=own.deep.net:missing"]
    assert call(arguments) == 2
    assert "model.backbone.name" in capsys.readouterr().err


WORKER = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
from experiments.run import worker
from experiments.stages.kind import Kind

def run(ctx):
    import own_net
    (ctx.output / "size.txt").write_text(str(own_net.size))

sys.modules["own_kinds"] = sys.modules["__main__"]
sys.exit(worker.main(sys.argv[1:], kinds={{"own": Kind(1, lambda config, split: {{}}, "own_kinds:run")}}))
"""


def recorded(folder):
    fields = {"model": {"backbone": {"name": "own_net:build"}}}
    stage = fakes.stage("own", **fields)
    store = Store(folder / "results")
    store.write_stage(stage.id, {**stage.record, "code": code_digests(fields)})
    return store, stage.id


def work(folder, store, stage_id):
    """A worker that doesn't get the working directory from Python."""
    (folder / "scripts").mkdir(exist_ok=True)
    (folder / "scripts" / "worker.py").write_text(WORKER)
    command = [sys.executable, "-P", str(folder / "scripts" / "worker.py"), str(store.root), stage_id]
    subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": ""}, check=False, timeout=120)
    return store.stage(stage_id)


def test_a_worker_finds_the_code_and_keeps_it_with_the_sources(folder):
    (folder / "own_net.py").write_text("size = 3\ndef build(config): ...\n")
    store, stage_id = recorded(folder)
    view = work(folder, store, stage_id)
    assert view.state == "done", view.status.error
    assert (view.result / "size.txt").read_text() == "3"
    with zipfile.ZipFile(store.code_folder / f"{view.env['code']['source']}.zip") as archive:
        assert archive.read("own_net.py") == (folder / "own_net.py").read_bytes()


def test_code_that_changed_since_it_was_planned_is_not_run(folder):
    (folder / "own_net.py").write_text("size = 3\ndef build(config): ...\n")
    store, stage_id = recorded(folder)
    (folder / "own_net.py").write_text("size = 4\ndef build(config): ...\n")
    view = work(folder, store, stage_id)
    assert view.state == "failed"
    assert "own_net:build has changed since the stage was planned" in view.status.error["message"]


@pytest.mark.parametrize("safe", [[], ["-P"]])
def test_the_command_finds_code_in_the_working_directory(folder, safe):
    lay(folder, "module")
    code = "import sys; sys.argv = ['yolact', *sys.argv[1:]]; from experiments.cli.main import main; main()"
    arguments = ["plan", "quickstart", "--scale", "toy", "--set", "model.backbone.name=own_net:build"]
    command = [sys.executable, *safe, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_snapshot_brings_the_code_unless_it_is_installed(folder, layout):
    reference, names = lay(folder, layout)
    store = Store(folder / "results")
    taken = snapshots.take_snapshot(store, [reference, "click.core:Command"])
    assert all((taken / name).is_file() for name in names)
    assert not (taken / "click").exists()
    assert taken != snapshots.take_snapshot(store)
    program = f"from experiments.stages.custom_code import custom_code; print(custom_code({reference!r}).digest)"
    environment = {**os.environ, "PYTHONPATH": str(taken), "PYTHONSAFEPATH": "1"}
    found = subprocess.run(
        [sys.executable, "-c", program], cwd="/", env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == custom_code(reference).digest
