"""Locks, publishing, resuming: nothing is lost, nothing is written twice."""

from __future__ import annotations

import errno
import json
import os
import shlex
import signal
import subprocess
import sys
import time

import pytest

from experiments.run import attempt as attempts
from experiments.run.attempt import attempt
from experiments.store import lease as locks
from experiments.store.durable import write_json
from experiments.store.folder import Store, StoreError
from experiments.store.lease import LockLost, StageBusy, StageLock, read_holder
from tests.support.processes import fakes


def never() -> bool:
    return False


def run(store, stage, should_stop=never):
    store.write_stage(stage.id, stage.record)
    return attempt(store, stage.id, fakes.KINDS, should_stop)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def test_a_stage_is_published_with_digests_and_provenance(store):
    stage = fakes.stage("count", seed=3, steps=4)
    assert run(store, stage) == "done"
    view = store.stage(stage.id)
    assert (view.result / "part0.txt").read_text().startswith(f"{4 * 3 + 6}\n")
    assert set(view.status.digests) == {"part0.txt", "part1.txt", "part2.txt"}
    assert view.damaged() == []
    assert view.status.attempt == 1
    assert view.status.wall_seconds is not None
    assert view.env["code"]["source"]
    assert (store.code_folder / f"{view.env['code']['source']}.zip").is_file()
    assert [event["iteration"] for event in view.log if event["event"] == "step"] == [1, 2, 3, 4]
    left = {path.name for path in view.folder.iterdir()} - {".guard"}
    assert left == {"stage.json", "status.json", "env.json", "log.jsonl", "result"}


def test_a_finished_stage_is_not_run_again(store):
    stage = fakes.stage("count", steps=2)
    run(store, stage)
    assert run(store, stage) == "done"
    assert store.stage(stage.id).status.attempt == 1


def test_a_result_opens_only_when_done(store):
    stage = fakes.stage("count", steps=2)
    store.write_stage(stage.id, stage.record)
    with pytest.raises(StoreError, match="planned"):
        _ = store.stage(stage.id).result
    with pytest.raises(StoreError, match="no stage"):
        store.stage("train-missing")
    with pytest.raises(StoreError, match="not a stage id"):
        store.stage("../elsewhere")


def test_a_failure_is_kept_with_its_traceback(store):
    stage = fakes.stage("fail")
    assert run(store, stage) == "failed"
    error = store.stage(stage.id).status.error
    assert error["message"] == "this stage fails on purpose"
    assert "fakes.py" in error["traceback"]
    assert not (store.stage_folder(stage.id) / "attempts").exists()


def test_an_interrupted_stage_resumes_to_the_same_bytes(store, tmp_path):
    stage = fakes.stage("count", seed=2, steps=6)
    assert run(store, stage, should_stop=lambda: True) == "interrupted"
    assert store.state(stage.id) == "interrupted"
    assert run(store, stage) == "done"
    undisturbed = Store(tmp_path / "other")
    run(undisturbed, stage)
    assert store.stage(stage.id).status.digests == undisturbed.stage(stage.id).status.digests
    steps = [event["iteration"] for event in store.stage(stage.id).log if event["event"] == "step"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_another_version_of_the_kind_is_refused(store):
    stage = fakes.stage("count", steps=1)
    store.write_stage(stage.id, {**stage.record, "version": 99})
    assert attempt(store, stage.id, fakes.KINDS, never) == "failed"
    assert "version 99" in store.stage(stage.id).status.error["message"]


def test_a_living_holder_keeps_others_out(store):
    stage = fakes.stage("count", steps=1)
    store.write_stage(stage.id, stage.record)
    holder = StageLock(store.stage_folder(stage.id))
    holder.acquire()
    with pytest.raises(StageBusy, match=str(os.getpid())):
        run(store, stage)
    holder.release()
    assert run(store, stage) == "done"


@pytest.mark.parametrize(
    ("change", "stale"),
    [({}, False), ({"pid": 2**22 + 1}, True), ({"started": 1}, True), ({"host": "elsewhere"}, False)],
)
@pytest.mark.parametrize("skew", [0, -1e6, 1e6], ids=["same clock", "clock behind", "clock ahead"])
def test_at_first_sight_a_lock_is_stale_only_if_its_process_is_gone(tmp_path, change, stale, skew):
    lock = StageLock(tmp_path)
    lock.acquire()
    write_json(lock.path, {**json.loads(lock.path.read_text()), **change})
    os.utime(lock.path, (time.time() + skew, time.time() + skew))
    assert read_holder(lock.path).stale is stale


@pytest.fixture
def clock(monkeypatch):
    """This host's monotonic clock, which stands still unless moved; a watch moves it by its pauses."""

    class Clock:
        seconds = 1000.0

        def wait(self, seconds):
            self.seconds += seconds

    clock = Clock()
    monkeypatch.setattr(locks, "_now", lambda: clock.seconds)
    return clock


def held_elsewhere(folder, skew):
    """A lock of another host, whose clock differs by `skew` seconds."""
    write_json(folder / "lock", {"token": "abc", "host": "elsewhere", "pid": 1, "started": 1})
    beat(folder, skew)
    return folder / "lock"


def beat(folder, skew):
    os.utime(folder / "lock", (time.time() + skew,) * 2)


@pytest.mark.parametrize("skew", [0, -1e6, 1e6])
def test_a_beating_lock_is_never_stale_and_a_still_one_is_after_a_while(tmp_path, clock, skew):
    path = held_elsewhere(tmp_path, skew)
    for number in range(20):
        assert not read_holder(path).stale
        clock.wait(locks.STALE_SECONDS - 1)
        beat(tmp_path, skew + number * 1e-3)
    assert not read_holder(path).stale
    clock.wait(locks.STALE_SECONDS - 1)
    assert not read_holder(path).stale
    clock.wait(1)
    assert read_holder(path).stale


@pytest.mark.parametrize("skew", [-1e6, 1e6])
@pytest.mark.parametrize("alive", [True, False])
def test_acquire_watches_a_lock_whose_time_says_nothing(tmp_path, clock, monkeypatch, skew, alive):
    path = held_elsewhere(tmp_path, skew)
    pauses = []

    def sleep(seconds):
        pauses.append(seconds)
        clock.wait(seconds)
        if alive and len(pauses) == 10:
            beat(tmp_path, skew + 1)

    monkeypatch.setattr(locks.time, "sleep", sleep)
    lock = StageLock(tmp_path)
    if alive:
        with pytest.raises(StageBusy, match="process 1 on elsewhere"):
            lock.acquire()
        assert len(pauses) == 10
    else:
        lock.acquire()
        assert sum(pauses) == locks.STALE_SECONDS
        assert read_holder(path).token == lock.token
        lock.release()


def test_a_watch_ends_when_told_to(tmp_path, clock):
    held_elsewhere(tmp_path, 1e6)
    with pytest.raises(StageBusy):
        StageLock(tmp_path).acquire(lambda: True)


def test_a_lock_that_looks_fresh_is_not_waited_for(tmp_path, monkeypatch):
    held_elsewhere(tmp_path, -1)
    monkeypatch.setattr(locks.time, "sleep", lambda seconds: pytest.fail("waits"))
    with pytest.raises(StageBusy):
        StageLock(tmp_path).acquire()


def test_the_heartbeat_keeps_a_lock_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.02)
    lock = StageLock(tmp_path)
    lock.acquire()
    os.utime(lock.path, (1, 1))
    _wait(lambda: lock.path.stat().st_mtime > 1)
    assert read_holder(lock.path).alive
    lock.release()
    assert not lock.path.exists()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "STALE_SECONDS", 0.2)
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.05)


def test_a_paused_writer_cannot_overwrite(store, impatient):
    """A worker is stopped by SIGSTOP, replaced by another, and woken up: the second's result stands."""
    stage = fakes.stage("count", steps=30, pause=0.02)
    store.write_stage(stage.id, stage.record)
    worker = subprocess.Popen([*fakes.WORKER, str(store.root), stage.id], stderr=subprocess.PIPE)
    folder = store.stage_folder(stage.id)
    _wait(lambda: (folder / "checkpoint" / "state.json").exists())
    os.kill(worker.pid, signal.SIGSTOP)
    os.utime(folder / "lock", (1, 1))
    assert attempt(store, stage.id, fakes.KINDS, never) == "done"
    before = (folder / "status.json").read_bytes()
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(timeout=30) == 4
    assert b"taken over" in worker.stderr.read()
    assert (folder / "status.json").read_bytes() == before
    assert store.stage(stage.id).damaged() == []


def test_publishing_needs_the_own_token(tmp_path, impatient):
    first, second = StageLock(tmp_path), StageLock(tmp_path)
    first.acquire()
    os.utime(first.path, (1, 1))
    second.acquire()
    with pytest.raises(LockLost), first.held():
        pytest.fail("the section ran")
    first.release()
    assert read_holder(second.path).token == second.token


@pytest.mark.parametrize("moment", ["before the rename", "after the rename"])
def test_killed_while_publishing(store, monkeypatch, moment):
    """A crash on either side of the rename costs nothing: the next attempt ends with a whole result."""
    stage = fakes.stage("count", steps=2)
    real = os.rename

    def crash(source, target):
        if moment == "after the rename":
            real(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(attempts.os, "rename", crash)
        patch.setattr(attempts.shutil, "rmtree", lambda *a, **k: None)
        with pytest.raises(KeyboardInterrupt):
            run(store, stage)
    assert store.state(stage.id) == "interrupted"
    assert run(store, stage) == "done"
    view = store.stage(stage.id)
    assert view.damaged() == []
    assert view.status.attempt == (1 if moment == "after the rename" else 2)


def test_a_damaged_result_is_noticed(store):
    stage = fakes.stage("count", steps=2)
    run(store, stage)
    view = store.stage(stage.id)
    (view.result / "part1.txt").write_text("changed")
    assert view.damaged() == ["part1.txt"]


def test_a_line_cut_short_does_not_hide_the_rest_of_the_log(store):
    stage = fakes.stage("count", steps=2)
    store.write_stage(stage.id, stage.record)
    (store.stage_folder(stage.id) / "log.jsonl").write_text('{"event": "step", "itera')
    run(store, stage)
    assert [event["iteration"] for event in store.stage(stage.id).log] == [1, 2]


def test_a_full_disk_leaves_the_stage_failed_and_whole(store, monkeypatch):
    def full(ctx):
        raise OSError(errno.ENOSPC, "No space left on device", str(ctx.output / "large.bin"))

    stage = fakes.stage("fill", megabytes=1)
    monkeypatch.setattr(fakes, "fill", full)
    assert run(store, stage) == "failed"
    assert "No space left on device" in store.stage(stage.id).status.error["message"]
    monkeypatch.undo()
    assert run(store, stage) == "done"


def test_a_file_size_limit_ends_in_one_message(store):
    """The nearest thing to a full disk that any user may cause: the system refuses to let a file grow."""
    stage = fakes.stage("fill", megabytes=20)
    store.write_stage(stage.id, stage.record)
    command = "ulimit -f 4096; exec " + shlex.join([sys.executable, str(fakes.WORKER[1]), str(store.root), stage.id])
    assert subprocess.run(["bash", "-c", command], check=False).returncode == 1
    assert "File too large" in store.stage(stage.id).status.error["message"]
    assert run(store, stage) == "done"


def _wait(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)
