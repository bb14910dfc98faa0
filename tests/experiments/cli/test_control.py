"""`yolact status`, `logs`, `retry` and `cancel`, end to end."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.cli.main import call
from experiments.cli.watch import cancel as cancel_command
from experiments.cli.watch import retry as retry_command
from experiments.cli.watch import status as status_command
from experiments.launch import status
from experiments.launch.inprocess import InProcess
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.launch.slurm.query import SchedulerError
from experiments.launch.slurm.record import write_record
from experiments.launch.slurm.state import SchedulerState
from experiments.store.folder import Store
from experiments.store.lease import process_start
from tests.support.benches import chain, record, run
from tests.support.paths import ROOT
from tests.support.processes import fakes

LAUNCHER = """
import sys
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.store.folder import Store
from tests.support.processes import fakes
plan = fakes.chains(3, steps=400, pause=0.02)
pool = Pool(Machine(cores=2), kinds=fakes.KINDS, command=fakes.WORKER)
sys.exit(pool.run(plan, set(plan.stages), Store(sys.argv[1]), lambda event: None).exit_status)
"""


@pytest.fixture
def failed(tmp_path):
    """An experiment whose first stage failed and whose second is blocked by it."""
    first = fakes.stage("fail")
    return run(tmp_path / "results", (first, fakes.stage("after_fail", inputs={"fail": first.id})))


def on(store, *arguments):
    return call([*arguments, "--results", str(store.root)])


def stage_of(store, kind):
    return next(view.id for view in store.records() if view.kind == kind)


def test_status_says_why_and_shows_the_log(failed, capsys):
    assert on(failed, "status", "fake-toy") == 0
    text = capsys.readouterr().out
    assert f"{stage_of(failed, 'fail')} failed: this stage fails on purpose" in text
    assert "error   UserError: this stage fails on purpose" in text
    assert f"yolact logs {stage_of(failed, 'fail')}" in text
    assert on(failed, "status", "--json") == 0
    [row] = json.loads(capsys.readouterr().out)
    assert (row["failed"], row["planned"], row["done"]) == (1, 1, 0)


def test_hints_repeat_the_results_folder(failed, tmp_path, monkeypatch, capsys):
    on(failed, "status", "fake-toy")
    assert f" --results {failed.root}\n" in capsys.readouterr().out.partition("more: yolact logs")[2]
    on(Store(tmp_path / "empty folder"), "status")
    assert capsys.readouterr().out.endswith(f"--seeds 0 --results '{tmp_path}/empty folder'\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    call(["status"])
    assert capsys.readouterr().out.endswith("--seeds 0\n")


@pytest.mark.parametrize("file", ["status.json", "stage.json"])
@pytest.mark.parametrize("content", [b'{"state": "do', b"[1]", b"\xff\xfe"], ids=["cut", "list", "binary"])
def test_a_damaged_record_is_shown_and_hides_nothing(failed, file, content, capsys):
    first, second = stage_of(failed, "fail"), stage_of(failed, "after_fail")
    write_record(failed, second, "7", "fake-toy", "slurm")
    (failed.stage_folder(second) / file).write_bytes(content)
    assert on(failed, "status", "fake-toy") == 1
    text = capsys.readouterr().out
    assert f"{first} failed: this stage fails on purpose" in text
    assert re.search(rf"{second} .*damaged .*{file}: is not ", text)
    assert on(failed, "status", "--json") == 1
    shown = capsys.readouterr()
    [row] = json.loads(shown.out)
    assert (row["failed"], row["damaged"], row["planned"]) == (1, 1, 0) and f"{second} is damaged: " in shown.err


def job(state, reason="", node="", log=Path("missing")):
    return SchedulerState("12_3", state, reason, node, log)


@pytest.mark.parametrize(
    ("disk", "scheduler", "state", "says"),
    [
        ("planned", job("pending", "waiting for free resources"), "waiting", "job 12_3 pending, waiting for free resources"),
        ("interrupted", job("pending", "requeued"), "waiting", "requeued"),
        ("interrupted", job("out of memory", "raise `memory`"), "failed", "out of memory: raise `memory`"),
        ("interrupted", job("node failed", "its node failed: n1"), "failed", "its node failed: n1"),
        ("interrupted", job("timed out", "raise `time`"), "failed", "timed out"),
        ("interrupted", job("cancelled", "by user 0"), "interrupted", "cancelled, by user 0"),
        ("planned", job("gone", "no longer knows the job"), "planned", "no longer knows"),
        ("done", job("failed"), "done", ""),
    ],
)
def test_status_reconciles_disk_and_scheduler(tmp_path, monkeypatch, disk, scheduler, state, says):
    store = Store(tmp_path)
    stage, _ = chain()
    store.write_stage(stage.id, stage.record)
    (store.stage_folder(stage.id) / "status.json").write_text(json.dumps({"state": disk}))
    monkeypatch.setattr(status, "scheduler_states", lambda store, ask: {stage.id: scheduler})
    found = status.stage_statuses(store, [stage.id])[stage.id]
    assert found.state == state
    assert says in (found.error or found.note)


def test_what_a_lost_job_printed_is_shown(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path)
    stage, _ = chain()
    store.write_experiment(record([(stage,)]))
    store.write_stage(stage.id, stage.record)
    (store.stage_folder(stage.id) / "status.json").write_text('{"state": "interrupted"}')
    log = tmp_path / "job.err"
    log.write_text("slurmstepd: error: Exceeded memory limit\n")
    lost = job("out of memory", "killed for its memory", log=log)
    monkeypatch.setattr(status, "scheduler_states", lambda store, ask: {stage.id: lost})
    assert on(store, "status", "fake-toy") == 0
    text = capsys.readouterr().out
    assert "out of memory: killed for its memory" in text
    assert "Exceeded memory limit" in text


def test_a_scheduler_that_is_down_hides_nothing(failed, monkeypatch, capsys):
    def down(store, ask):
        raise SchedulerError("squeue did not answer")

    monkeypatch.setattr(status, "scheduler_states", down)
    assert on(failed, "status", "fake-toy") == 0
    answer = capsys.readouterr()
    assert "this stage fails on purpose" in answer.out
    assert "squeue did not answer" in answer.err


def test_watch_follows_until_all_is_done(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(status_command, "WATCH_SECONDS", 0.05)
    stages = chain(steps=20)
    store = Store(tmp_path / "results")
    store.write_experiment(record([stages]))
    launcher = threading.Thread(target=_run_in_processes, args=(store, fakes.plan_of(*stages)))
    launcher.start()
    assert on(store, "status", "fake-toy", "--watch") == 0
    launcher.join()
    tables = capsys.readouterr().out.split("stage ")[1:]
    assert len(tables) > 1
    assert tables[0].count("planned") == 2 or "running" in tables[0]
    assert tables[-1].count("done") == 2


def test_watch_ends_where_nothing_goes_on(failed, monkeypatch, capsys):
    monkeypatch.setattr(status_command, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(status_command, "IDLE_SECONDS", 0.3)
    assert on(failed, "status", "--watch") == 0
    assert capsys.readouterr().out.count("fake-toy") == 1


def _run_in_processes(store, plan):
    Pool(Machine(cores=2), kinds=fakes.KINDS, command=fakes.WORKER).run(plan, set(plan.stages), store, lambda event: None)


def test_logs(failed, tmp_path, capsys):
    assert on(failed, "logs", stage_of(failed, "fail")) == 0
    text = capsys.readouterr().out
    assert "error   UserError: this stage fails on purpose" in text
    assert "Traceback" in text
    store = run(tmp_path / "other", chain(steps=3))
    assert on(store, "logs", stage_of(store, "count")) == 0
    assert [line.split()[-3] for line in capsys.readouterr().out.splitlines()] == ["1/3,", "2/3,", "3/3,"]


def test_logs_follow_to_the_end(tmp_path, monkeypatch, capsys):
    stage, _ = chain(steps=30)
    store = Store(tmp_path / "results")
    store.write_stage(stage.id, stage.record)
    worker = subprocess.Popen([*fakes.WORKER, str(store.root), stage.id])
    assert on(store, "logs", stage.id, "--follow") == 0
    assert "at 30/30" in capsys.readouterr().out
    assert worker.wait(timeout=30) == 0


@pytest.fixture
def fake_kinds(monkeypatch):
    """The fake kinds in place of the real ones; `fail` succeeds now."""
    mended = {**fakes.KINDS, "fail": fakes.KINDS["clock"], "after_fail": fakes.KINDS["clock"]}
    monkeypatch.setattr(retry_command, "InProcess", lambda: InProcess(mended))
    return mended


@pytest.mark.parametrize("by_name", [True, False])
def test_retry_runs_what_failed_and_what_it_blocked(failed, fake_kinds, by_name, capsys):
    which = [stage_of(failed, "fail")] if by_name else ["--failed"]
    assert on(failed, "retry", *which, "--launcher", "inprocess") == 0
    assert "1 to run again, 1 with them" in capsys.readouterr().out
    assert {view.state for view in failed.records()} == {"done"}
    assert on(failed, "retry", "--failed", "--launcher", "inprocess") == 0
    assert "nothing has failed" in capsys.readouterr().out


def test_retry_refuses_what_is_done(failed, fake_kinds, capsys):
    on(failed, "retry", "--failed", "--launcher", "inprocess")
    assert on(failed, "retry", stage_of(failed, "fail")) == 2
    assert "done already" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["retry", "cancel"])
def test_what_to_act_on_must_be_said(failed, command, capsys):
    assert on(failed, command) == 2
    assert "give stages, or --" in capsys.readouterr().err
    assert on(failed, command, "no-such-stage") == 2
    assert "no stage" in capsys.readouterr().err


@pytest.fixture
def running(tmp_path):
    """A launcher with two workers that have begun."""
    store = Store(tmp_path / "results")
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(store.root)], cwd=ROOT)
    _wait(lambda: len(list((store.root / "runs").glob("*/checkpoint/state.json"))) == 2)
    yield store, launcher
    launcher.terminate()
    launcher.wait(timeout=30)


def test_cancel_of_a_stage_leaves_the_others_alone(running, capsys):
    store, launcher = running
    victim, other = [view for view in store.records() if view.worked_on]
    assert on(store, "cancel", victim.id) == 0
    assert "told to save and leave" in capsys.readouterr().out
    _wait(lambda: victim.state == "interrupted" and victim.worked_on is None)
    assert other.state == "running"
    assert launcher.poll() is None
    assert on(store, "cancel", victim.id) == 0
    assert "nothing works on it" in capsys.readouterr().out


def test_cancel_all_ends_the_launcher_too(running, capsys):
    store, launcher = running
    assert on(store, "cancel", "--all") == 0
    assert "its launcher to end" in capsys.readouterr().out
    assert launcher.wait(timeout=30) == 130
    assert {view.state for view in store.records()} == {"interrupted", "planned"}
    assert on(store, "cancel", "--all") == 0
    assert "nothing runs or waits" in capsys.readouterr().out


@pytest.mark.parametrize(("named", "said"), [(1, [2, 3]), (2, [3]), (3, [])])
def test_cancel_names_the_stages_that_stop_with_it(tmp_path, capsys, named, said):
    """Three stages of one process and one of another."""
    store, stages = Store(tmp_path / "results"), [fakes.stage("count", seed=seed) for seed in range(4)]
    with subprocess.Popen(["sleep", "60"]) as shared, subprocess.Popen(["sleep", "60"]) as alone:
        for process, stage in zip((alone, shared, shared, shared), stages, strict=True):
            store.write_stage(stage.id, stage.record)
            lock = {"token": stage.id, "host": socket.gethostname(), "pid": process.pid, "started": process_start(process.pid)}
            (store.stage_folder(stage.id) / "lock").write_text(json.dumps(lock))
        assert on(store, "cancel", *(stage.id for stage in stages[1 : named + 1])) == 0
        assert shared.wait(10) == -signal.SIGTERM and alone.poll() is None
        alone.kill()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == named
    listed = re.findall(r"count-\w+", lines[0].partition("; it also works on ")[2])
    assert set(listed) == {stages[number].id for number in said}


def test_cancel_on_another_machine_is_said(tmp_path, capsys):
    store = run(tmp_path / "results", chain(), only=())
    stage, _ = chain()
    store.write_stage(stage.id, stage.record)
    lock = {"token": "x", "host": "elsewhere", "pid": os.getpid(), "started": 1}
    (store.stage_folder(stage.id) / "lock").write_text(json.dumps(lock))
    assert on(store, "cancel", stage.id) == 1
    assert "on elsewhere works on it" in capsys.readouterr().out


def test_cancel_hands_queued_jobs_to_the_scheduler(tmp_path, monkeypatch, capsys):
    store = run(tmp_path / "results", chain(), only=())
    for stage in chain():
        store.write_stage(stage.id, stage.record)
    asked = []
    monkeypatch.setattr(cancel_command, "cancel_jobs", lambda store, ids: asked.extend(ids) or ids[:1])
    first, _ = chain()
    assert on(store, "cancel", first.id) == 0
    assert asked == [first.id]
    assert f"{first.id}: its job was cancelled" in capsys.readouterr().out


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
