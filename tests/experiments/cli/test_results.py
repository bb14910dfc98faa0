"""`yolact results`, end to end."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest

from experiments.cli.main import call
from experiments.launch.slurm import state as slurm_state
from experiments.launch.slurm.state import SchedulerState
from experiments.store import transfer as results_transfer
from experiments.store.durable import write_json
from experiments.store.folder import Store, digests
from experiments.store.lease import StageLock
from tests.support.benches import chain, run
from tests.support.processes import fakes


@pytest.fixture
def store(tmp_path):
    """Two seeds of an experiment, done."""
    return run(tmp_path / "results", chain(0), chain(1))


def results(store, *arguments):
    return call(["results", *map(str, arguments), "--results", str(store.root)])


def change(store, stage_id, text="other"):
    """Give a finished stage another result, as another machine might."""
    folder = store.stage_folder(stage_id)
    (folder / "result" / "part0.txt").write_text(text)
    status = json.loads((folder / "status.json").read_text())
    write_json(folder / "status.json", {**status, "digests": digests(folder / "result")})


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ls(store, capsys):
    assert results(store, "ls") == 0
    text = capsys.readouterr().out
    assert "4 stages" in text
    assert "4 done" in text
    assert "fake-toy" in text
    assert results(store, "ls", "--experiment", "fake-toy", "--state", "failed", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert results(store, "ls", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["bytes"] > 0 and row["experiments"] == ["fake-toy"] for row in rows)


def test_show(store, capsys):
    count, double = chain(0)
    (store.stage_folder(count.id) / "result" / "part1.txt").write_text("damaged")
    assert results(store, "show", count.id) == 0
    text = capsys.readouterr().out
    assert f"built on by: {double.id}" in text
    assert "fake-toy:only:0" in text
    assert [line.split()[-1] for line in text.splitlines() if "part" in line] == ["whole", "damaged", "whole"]
    assert results(store, "show", double.id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["builds on"] == [count.id]


def test_rm_refuses_what_others_build_on(store, capsys):
    count, double = chain(0)
    assert results(store, "rm", count.id, "--yes") == 2
    assert double.id in capsys.readouterr().err
    assert store.has(count.id)
    assert results(store, "rm", count.id, "--downstream", "--yes") == 0
    assert {view.id for view in store.records()} == {stage.id for stage in chain(1)}
    assert not (store.root / ".trash").exists()


def test_rm_asks_and_takes_no_for_an_answer(store, monkeypatch):
    _, double = chain(0)
    monkeypatch.setattr("click.confirm", lambda text, abort: (_ for _ in ()).throw(KeyboardInterrupt))
    assert results(store, "rm", double.id) == 130
    assert store.has(double.id)


def test_rm_leaves_alone_what_is_being_worked_on(store, capsys):
    _, double = chain(0)
    lock = StageLock(store.stage_folder(double.id))
    lock.acquire()
    assert results(store, "rm", double.id, "--yes") == 2
    assert "being worked on" in capsys.readouterr().err
    lock.release()
    assert results(store, "rm", double.id, "--yes") == 0
    assert not store.has(double.id)


def test_what_was_removed_runs_again(store):
    count, double = chain(0)
    before = dict(store.stage(double.id).status.digests)
    assert results(store, "rm", double.id, "--yes") == 0
    again = run(store.root, (count, double))
    assert dict(again.stage(double.id).status.digests) == before


def test_gc_shows_and_then_deletes(store, capsys):
    lone = chain(7)
    run(store.root, lone, name="gone")
    (store.root / "experiments" / "gone-toy.json").unlink()
    kept = store.stage_folder(chain(0)[0].id)
    for name in ("attempts/dead/part0.txt", "checkpoint/state.json", ".status.json.123.tmp"):
        (kept / name).parent.mkdir(parents=True, exist_ok=True)
        (kept / name).write_text("left")
    old = store.code_folder / f"{'0' * 16}.zip"
    old.write_text("sources")
    os.utime(old, (1, 1))
    before = files(store.root)
    assert results(store, "gc") == 0
    text = capsys.readouterr().out
    assert "2 stages and 4 leftovers" in text
    assert files(store.root) == before
    assert results(store, "gc", "--delete") == 0
    assert {view.id for view in store.records()} == {stage.id for seed in (0, 1) for stage in chain(seed)}
    assert {path.name for path in kept.iterdir()} == {"stage.json", "status.json", "env.json", "log.jsonl", "result", ".guard"}
    assert not old.exists()
    assert len(list(store.code_folder.glob("*.zip"))) == 1
    assert results(store, "gc") == 0
    assert "0 stages and 0 leftovers" in capsys.readouterr().out.splitlines()[-1]


def test_gc_keeps_what_is_being_worked_on_and_what_it_needs(store, capsys):
    (store.root / "experiments" / "fake-toy.json").unlink()
    count, double = chain(0)
    lock = StageLock(store.stage_folder(double.id))
    lock.acquire()
    (store.stage_folder(double.id) / "attempts" / lock.token).mkdir(parents=True)
    assert results(store, "gc", "--delete") == 0
    assert {view.id for view in store.records()} == {count.id, double.id}
    assert (store.stage_folder(double.id) / "attempts" / lock.token).is_dir()
    lock.release()


@pytest.mark.parametrize("queued", [True, False])
def test_what_waits_in_a_queue_stays(store, monkeypatch, queued, capsys):
    (store.root / "experiments" / "fake-toy.json").unlink()
    count, double = chain(0)
    job = SchedulerState("12", "pending" if queued else "cancelled", "", "", store.root)
    monkeypatch.setattr(slurm_state, "scheduler_states", lambda store: {double.id: job})
    snapshot = store.code_folder / "snapshot-1"
    snapshot.mkdir()
    os.utime(snapshot, (1, 1))
    assert results(store, "rm", double.id, "--yes") == (2 if queued else 0)
    assert ("SLURM's queue" in capsys.readouterr().err) is queued
    assert results(store, "gc", "--delete") == 0
    assert {view.id for view in store.records()} == ({count.id, double.id} if queued else set())
    assert snapshot.exists() is queued


def test_an_export_stands_alone(store, tmp_path, capsys):
    """Read under another path, with the original gone; nothing of this machine's paths is in the records."""
    run(store.root, chain(5), name="other")
    failing = fakes.stage("fail")
    run(store.root, (failing,), name="failing")
    before = {view.id: dict(view.status.digests) for view in store.records()}
    out = tmp_path / "out"
    assert results(store, "export", out, "fake-toy") == 0
    assert "4 stages" in capsys.readouterr().out
    moved = Store(shutil.move(out, tmp_path / "elsewhere"))
    shutil.rmtree(store.root)
    assert [record["experiment"] for record in moved.experiments()] == ["fake"]
    assert {view.id: dict(view.status.digests) for view in moved.records()} == {
        stage.id: before[stage.id] for seed in (0, 1) for stage in chain(seed)
    }
    assert all(view.state == "done" and view.damaged() == [] for view in moved.records())
    assert not any(str(tmp_path) in path.read_text() for path in moved.root.rglob("*.json"))
    assert len(list(moved.code_folder.glob("*.zip"))) == 1


@pytest.mark.parametrize("fault", ["exists", "damaged", "unknown"])
def test_an_export_that_cannot_be_whole_is_none(store, tmp_path, fault, capsys):
    out = tmp_path / "out"
    if fault == "exists":
        out.mkdir()
    if fault == "damaged":
        (store.stage_folder(chain(0)[0].id) / "result" / "part0.txt").write_text("x")
    assert results(store, "export", out, "nothing-toy" if fault == "unknown" else "fake-toy") == 2
    assert {"exists": "exists already", "damaged": "part0.txt", "unknown": "no experiment"}[fault] in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} - {"out"} == {"results"}
    assert not any(out.glob("*")) if out.exists() else True


def test_merge_brings_stages_runs_and_experiments(store, tmp_path, capsys):
    other = run(tmp_path / "other", chain(1), chain(2), seeds=(1, 2))
    run(other.root, chain(3), name="new")
    assert results(store, "merge", other.root) == 0
    assert "4 stages added, 2 were here" in capsys.readouterr().out
    assert {view.id for view in store.records()} == {stage.id for seed in range(4) for stage in chain(seed)}
    assert [run["seed"] for run in store.experiment("fake-toy")["runs"]] == [0, 1, 2]
    assert store.experiment("new-toy") == other.experiment("new-toy")
    before = files(store.root)
    assert results(store, "merge", other.root) == 0
    assert files(store.root) == before
    assert not (store.root / ".incoming").exists()


def test_merge_keeps_both_where_they_differ(store, tmp_path, capsys):
    other = run(tmp_path / "other", chain(0))
    count, _ = chain(0)
    change(other, count.id)
    ours = dict(store.stage(count.id).status.digests)
    for _ in range(2):  # a second time finds them kept already
        assert results(store, "merge", other.root) == 1
        assert f"differs: {count.id}" in capsys.readouterr().out
    assert dict(store.stage(count.id).status.digests) == ours
    beside = Store(store.root / "conflicts" / "1")
    assert (beside.stage(count.id).result / "part0.txt").read_text() == "other"
    assert not (store.root / "conflicts" / "2").exists()
    change(other, count.id, "yet another")
    assert results(store, "merge", other.root) == 1
    assert (Store(store.root / "conflicts" / "2").stage(count.id).result / "part0.txt").read_text() == "yet another"
    assert results(store, "ls") == 0
    assert "conflicts/2" in capsys.readouterr().out


def test_merge_keeps_both_questions(store, tmp_path, capsys):
    other = run(tmp_path / "other", chain(0, steps=4))
    assert results(store, "merge", other.root) == 1
    assert "differs: fake-toy" in capsys.readouterr().out
    assert Store(store.root / "conflicts" / "1").experiment("fake-toy") == other.experiment("fake-toy")
    assert len(store.records()) == 6


def test_merge_takes_the_side_that_is_done(tmp_path):
    half = run(tmp_path / "half", chain(0), only=())
    whole = run(tmp_path / "whole", chain(0))
    for stage in chain(0):
        half.write_stage(stage.id, stage.record)
    assert results(half, "merge", whole.root) == 0
    assert {view.state for view in half.records()} == {"done"}
    assert results(whole, "merge", half.root) == 0


def test_merge_leaves_out_what_is_damaged_or_unfinished_there(store, tmp_path, capsys):
    other = run(tmp_path / "other", chain(4))
    count, double = chain(4)
    (other.stage_folder(count.id) / "result" / "part2.txt").unlink()
    lock = StageLock(other.stage_folder(double.id))
    lock.acquire()
    assert results(store, "merge", other.root) == 1
    text = capsys.readouterr().out
    assert f"left out: {count.id}: damaged there: part2.txt" in text
    assert f"left out: {double.id}" in text
    assert len(store.records()) == 4
    lock.release()


def test_a_merge_that_is_cut_short_can_be_repeated(store, tmp_path, monkeypatch):
    other = run(tmp_path / "other", chain(2), chain(3))
    with monkeypatch.context() as patch:
        calls = iter(range(3))

        def cut(folder):
            if next(calls) == 2:
                raise KeyboardInterrupt

        patch.setattr(results_transfer, "sync_tree", cut)
        assert results(store, "merge", other.root) == 130
    assert all(view.damaged() == [] for view in store.records())
    assert results(store, "merge", other.root) in (0, 1)
    assert len(store.records()) == 8
    assert {view.state for view in store.records()} == {"done"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "count-1"], "no stage"),
        (["rm", "nothing", "--yes"], "no stage"),
        (["merge", "missing"], "no results folder"),
        (["ls", "--experiment", "x-toy"], "no experiment"),
        (["rm"], "Missing argument"),
    ],
)
def test_a_users_error_is_one_message(store, arguments, says, capsys):
    assert results(store, *arguments) == 2
    text = capsys.readouterr().err
    assert says in text
    assert "Traceback" not in text


def test_merging_a_folder_into_itself_is_refused(store, capsys):
    assert results(store, "merge", store.root) == 2
    assert "is the folder to merge into" in capsys.readouterr().err


def test_an_interrupted_removal_is_swept(store, capsys):
    trash = store.root / ".trash" / "count-x"
    trash.mkdir(parents=True)
    (trash / "stage.json").write_text("{}")
    strange = store.root / "runs" / "count-gone"
    strange.mkdir()
    os.utime(strange, (time.time() - 7200,) * 2)
    assert results(store, "gc", "--delete") == 0
    assert not trash.parent.exists()
    assert not strange.exists()
