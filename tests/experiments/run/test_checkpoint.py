"""Checkpoints across changes of the code: resumed, set aside, resumed by consent; never deleted."""

from __future__ import annotations

import json

import pytest

from experiments.cli.main import call
from experiments.cli.resume import settle_checkpoints
from experiments.run import provenance
from experiments.run.attempt import attempt
from experiments.run.checkpoint import change_since, changed_files, consent
from experiments.store.folder import Store
from tests.support.paths import ROOT
from tests.support.processes import fakes

CODE = {"yolact/loss.py": b'"""Loss."""\n\ndef loss(x):\n    return x\n', "yolact/other.py": b"A = 1\n"}
COMMENTED = {**CODE, "yolact/loss.py": b'"""The loss."""\n\n\ndef loss(x):\n    "of x"\n    return x  # as it is\n'}
CHANGED = {**CODE, "yolact/loss.py": b'"""Loss."""\n\ndef loss(x):\n    return 2 * x\n'}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture
def stage(store, monkeypatch):
    """A counting that was interrupted after its first step, with sources CODE."""
    made = fakes.stage("count", steps=4)
    run_with(monkeypatch, store, made, CODE, stop=True)
    return made


def run_with(monkeypatch, store, stage, code, stop=False):
    monkeypatch.setattr(provenance, "sources", lambda: code)
    store.write_stage(stage.id, stage.record)
    return attempt(store, stage.id, fakes.KINDS, lambda: stop)


def steps(store, stage):
    return [event["iteration"] for event in store.stage(stage.id).log if event["event"] == "step"]


def messages(store, stage):
    return [event["message"] for event in store.stage(stage.id).log if "message" in event]


@pytest.mark.parametrize("code", [CODE, COMMENTED], ids=["same", "commented"])
def test_the_same_code_resumes(store, stage, monkeypatch, code):
    assert run_with(monkeypatch, store, stage, code) == "done"
    assert steps(store, stage) == [1, 2, 3, 4]
    assert "resumed" not in store.stage(stage.id).env


@pytest.mark.parametrize("known", [True, False])
def test_a_checkpoint_of_other_code_is_set_aside_and_kept(store, stage, monkeypatch, known):
    saved = (store.stage_folder(stage.id) / "checkpoint" / "state.json").read_bytes()
    if not known:
        for kept in store.code_folder.glob("*.zip"):
            kept.unlink()
    assert run_with(monkeypatch, store, stage, CHANGED) == "done"
    assert steps(store, stage) == [1, 1, 2, 3, 4]
    (aside,) = store.stage(stage.id).set_aside
    assert (aside / "state.json").read_bytes() == saved
    (message,) = [message for message in messages(store, stage) if "code has changed" in message]
    assert aside.name in message
    assert ("yolact/loss.py" if known else "no longer kept") in message
    assert "other.py" not in message


def test_consent_resumes_and_is_recorded(store, stage, monkeypatch):
    folder = store.stage_folder(stage.id)
    change = change_since(folder, CHANGED, store.code_folder)
    assert change.files == ("yolact/loss.py",)
    consent(folder, CHANGED)
    assert run_with(monkeypatch, store, stage, CHANGED) == "done"
    assert steps(store, stage) == [1, 2, 3, 4]
    view = store.stage(stage.id)
    assert view.set_aside == []
    (resumed,) = view.env["resumed"]
    assert (resumed["files"], resumed["from"]) == (["yolact/loss.py"], change.source)
    assert resumed["to"] == view.env["code"]["source"]
    assert not (folder / "resume.json").exists()


def test_consent_to_one_change_is_none_to_the_next(store, stage, monkeypatch):
    consent(store.stage_folder(stage.id), COMMENTED)
    run_with(monkeypatch, store, stage, CHANGED)
    assert len(store.stage(stage.id).set_aside) == 1


def test_what_was_resumed_by_consent_is_still_known_after_an_interruption(store, stage, monkeypatch):
    consent(store.stage_folder(stage.id), CHANGED)
    run_with(monkeypatch, store, stage, CHANGED, stop=True)
    run_with(monkeypatch, store, stage, CHANGED)
    assert [resumed["files"] for resumed in store.stage(stage.id).env["resumed"]] == [["yolact/loss.py"]]
    assert steps(store, stage) == [1, 2, 3, 4]


def test_code_put_back_resumes_from_what_was_set_aside(store, stage, monkeypatch):
    run_with(monkeypatch, store, stage, CHANGED, stop=True)
    assert run_with(monkeypatch, store, stage, CODE) == "done"
    assert steps(store, stage) == [1, 1, 2, 3, 4]
    assert len(store.stage(stage.id).set_aside) == 1, "now that of the changed code"


def test_consent_without_a_checkpoint_takes_the_last_one_set_aside(store, stage, monkeypatch):
    folder = store.stage_folder(stage.id)
    (folder / "checkpoint").rename(folder / "checkpoint-older")
    consent(folder, CHANGED)
    assert run_with(monkeypatch, store, stage, CHANGED) == "done"
    assert steps(store, stage) == [1, 2, 3, 4]


def test_two_checkpoints_of_one_code_are_both_kept(store, stage, monkeypatch):
    folder = store.stage_folder(stage.id)
    mark = json.loads((folder / "checkpoint" / "source.json").read_text())
    (folder / f"checkpoint-{mark['source']}").mkdir()
    run_with(monkeypatch, store, stage, CHANGED)
    assert len(store.stage(stage.id).set_aside) == 2


def test_an_empty_checkpoint_is_not_worth_a_word(store, stage, monkeypatch):
    (store.stage_folder(stage.id) / "checkpoint" / "state.json").unlink()
    assert run_with(monkeypatch, store, stage, CHANGED) == "done"
    assert store.stage(stage.id).set_aside == []
    assert not [message for message in messages(store, stage) if "changed" in message]


def test_the_command_line_says_what_will_be_set_aside_or_consents(store, stage, monkeypatch):
    monkeypatch.setattr(provenance, "sources", lambda: CODE)
    said = []
    settle_checkpoints(store, [stage.id, "count-unrecorded"], False, said.append)
    assert said == []
    monkeypatch.setattr(provenance, "sources", lambda: CHANGED)
    settle_checkpoints(store, [stage.id], False, said.append)
    assert len(said) == 1
    assert "yolact/loss.py" in said[0] and "--resume-changed" in said[0]
    settle_checkpoints(store, [stage.id], True, said.append)
    assert len(said) == 1
    run_with(monkeypatch, store, stage, CHANGED)
    assert steps(store, stage) == [1, 2, 3, 4]


def test_what_is_set_aside_is_listed_and_offered_by_gc(store, stage, monkeypatch, capsys):
    run_with(monkeypatch, store, stage, CHANGED, stop=True)
    store.write_experiment(
        {
            "experiment": "fake",
            "scale": "toy",
            "data": {"name": "none"},
            "runs": [{"variant": "a", "seed": 0, "stages": {"count": stage.id}}],
        }
    )
    (aside,) = store.stage(stage.id).set_aside
    for command in (["status", "fake-toy", "--json"], ["results", "show", stage.id], ["results", "gc"]):
        call([*command, "--results", str(store.root)])
        assert aside.name in capsys.readouterr().out, command
    assert aside.is_dir()
    call(["results", "gc", "--delete", "--results", str(store.root)])
    assert not aside.exists()
    assert (store.stage_folder(stage.id) / "checkpoint" / "state.json").is_file()


@pytest.mark.parametrize(
    ("path", "old", "new", "counts"),
    [
        ("yolact/models/one_stage/losses.py", "import torch\n", "import torch\nX = 1\n", True),
        ("yolact/models/one_stage/losses.py", "import torch\n", "import torch  # the library\n", False),
        ("experiments/stages/train.py", "import torch\n", "import torch\nX = 1\n", True),
        ("experiments/datasets/dataset.py", "\nfrom", "\nX = 1\nfrom", True),
    ],
)
def test_what_counts_as_a_change_of_code(path, old, new, counts):
    found = provenance.sources()
    text = found[path].decode()
    assert old in text
    other = {**found, path: text.replace(old, new, 1).encode()}
    assert changed_files(found, other) == ((path,) if counts else ())


@pytest.mark.parametrize(
    ("room", "inside"),
    [
        ("experiments/cli", False),
        ("experiments/launch", False),
        ("experiments/plan", False),
        ("experiments/run", False),
        ("experiments/store", False),
        ("experiments/datasets/fetch", False),
        ("docs", False),
        ("experiments/stages", True),
        ("yolact/training", True),
        ("yolact/models", True),
    ],
)
def test_sources_are_what_decides_bytes(room, inside):
    assert (ROOT / room).is_dir()
    assert any(name.startswith(f"{room}/") for name in provenance.sources()) is inside


def test_added_removed_and_broken_files_count():
    assert changed_files({"a.py": b"x", "b.py": b"x"}, {"b.py": b"x", "c.py": b"("}) == ("a.py", "c.py")
    assert changed_files({"a.py": b"("}, {"a.py": b"(("}) == ("a.py",)
