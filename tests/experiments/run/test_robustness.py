"""Nothing is lost, doubled or half written, whatever is killed, paused or started twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from experiments.launch.inprocess import InProcess
from experiments.run.attempt import attempt
from experiments.run.worker import BUSY, DONE
from experiments.store import lease
from experiments.store.contents import Contents
from experiments.store.folder import Store
from experiments.store.gc import garbage, sweep
from tests.support.paths import ROOT
from tests.support.processes import fakes, writes

KILLS, MID_WRITE = 200, 50
LIMIT_SECONDS = 600.0
LAUNCHER = f"""
import os, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.store.folder import Store
from tests.support.processes import fakes
from tests.support.processes import writes
writes.install(Path(os.environ[fakes.WRITES]), writes.LAUNCHERS)
plan = fakes.chains(int(sys.argv[3]), steps=8, pause=0.005, begin=int(sys.argv[2]))
pool = Pool(Machine(cores=2), kinds=fakes.KINDS, command=fakes.WORKER)
outcome = pool.run(plan, set(plan.stages), Store(sys.argv[1]), lambda event: None)
sys.exit(outcome.exit_status)
"""


class Bench:
    """A results folder, launchers on it, and the folder through which their writes are met."""

    def __init__(self, folder: Path) -> None:
        self.store, self.hooks = Store(folder / "results"), folder / "hooks"
        self.hooks.mkdir()

    def launch(self, begin: int, chains: int) -> subprocess.Popen:
        command = [sys.executable, "-c", LAUNCHER, str(self.store.root), str(begin), str(chains)]
        environment = {**os.environ, fakes.WRITES: str(self.hooks)}
        return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)

    def arm(self, switch: str, place: str = "") -> None:
        """Make workers' or launchers' writes stop halfway: this one, or any."""
        (self.hooks / switch).write_text(place)

    def disarm(self, switch: str) -> None:
        (self.hooks / switch).unlink(missing_ok=True)

    def workers(self) -> list[int]:
        holders = [view.worked_on for view in self.store.records()]
        return [holder.pid for holder in holders if holder is not None]


class Killer:
    """Kills workers and launchers at random moments, every other time in the middle of a write."""

    def __init__(self, bench: Bench, draw: random.Random) -> None:
        self.bench, self.draw = bench, draw
        self.counts: Counter[str] = Counter()
        self.places: Counter[str] = Counter()

    @property
    def kills(self) -> int:
        return self.counts["worker"] + self.counts["launcher"]

    def strike(self, launcher: subprocess.Popen) -> None:
        """Kill one process, if there is one to kill."""
        if self.draw.random() < 0.6:
            self._in_a_write(launcher)
            return
        time.sleep(self.draw.uniform(0.0, 0.4))
        workers = self.bench.workers()
        if workers or self.draw.random() < 0.2:
            self._kill(self.draw.choice([launcher.pid, *workers * 2]), launcher)

    def _in_a_write(self, launcher: subprocess.Popen) -> None:
        switch = writes.LAUNCHERS if self.draw.random() < 0.1 else writes.WORKERS
        self.bench.arm(switch)
        end = time.monotonic() + 2.0
        while not (found := writes.marks(self.bench.hooks)) and time.monotonic() < end and launcher.poll() is None:
            time.sleep(0.005)
        self.bench.disarm(switch)
        if found:
            victim = self.draw.choice(sorted(found))
            self._kill(victim, launcher)
            self._count_if_in_a_write(victim)

    def _count_if_in_a_write(self, victim: int) -> None:
        """The victim is dead; if its mark is still there, it never left the write."""
        mark = self.bench.hooks / f"{victim}.mark"
        if mark.exists():
            self.counts["mid-write"] += 1
            self.places[mark.read_text()] += 1
            mark.unlink()

    def _kill(self, victim: int, launcher: subprocess.Popen) -> None:
        if launcher.poll() is not None:
            return
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.counts["launcher" if victim == launcher.pid else "worker"] += 1
        launcher.wait() if victim == launcher.pid else _wait(lambda: not _alive(victim))


def expected(plan, folder):
    """Digests of a plan's results where nothing disturbs it."""
    store = Store(folder)
    InProcess(fakes.KINDS).run(plan, set(plan.stages), store, lambda event: None)
    return {stage_id: dict(store.stage(stage_id).status.digests) for stage_id in plan.stages}


def check(bench, plan, folder):
    """Everything is there once, whole, and as in a run that nothing disturbed."""
    found = {stage_id: bench.store.stage(stage_id) for stage_id in plan.stages}
    assert {view.state for view in found.values()} == {"done"}
    assert {stage_id: dict(view.status.digests) for stage_id, view in found.items()} == expected(plan, folder)
    assert all(view.damaged() == [] for view in found.values())
    assert {path.name for path in bench.store.runs_folder.iterdir()} == set(plan.stages)
    times = Counter(writes.published(bench.hooks))
    assert max(times.values()) == 1, "a stage was published twice"
    for path in bench.store.root.rglob("*.json"):
        if not path.name.startswith("."):
            json.loads(path.read_text(encoding="utf-8"))
    stages, leftovers = garbage(Contents(bench.store))
    assert set(stages) == set(plan.stages), "no experiment was recorded, so all are free to go"
    sweep(bench.store, leftovers)
    assert [leftover.path for leftover in garbage(Contents(bench.store))[1]] == []


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_kills_lose_nothing(tmp_path):
    """At least 50 of 200 kills land in the middle of a write, as the marks of the dead show."""
    bench = Bench(tmp_path)
    killer = Killer(bench, random.Random(4))
    begun, stages, rounds = time.monotonic(), 20, 0
    while killer.kills < KILLS or killer.counts["mid-write"] < MID_WRITE:
        assert time.monotonic() - begun < LIMIT_SECONDS, f"too slow: {killer.counts}"
        launcher = bench.launch(rounds * stages, stages)
        while launcher.poll() is None and killer.kills < KILLS:
            killer.strike(launcher)
        if launcher.wait() == 0:
            rounds += 1
    while bench.launch(0, (rounds + 1) * stages).wait() != 0:
        assert time.monotonic() - begun < LIMIT_SECONDS, "the kills have ended, the run has not"
    print(f"{dict(killer.counts)} in {time.monotonic() - begun:.0f} s; in writes: {dict(killer.places)}")
    check(bench, fakes.chains((rounds + 1) * stages, steps=8, pause=0.005), tmp_path / "undisturbed")


@pytest.mark.slow
def test_two_launchers_share_a_results_folder(tmp_path):
    bench = Bench(tmp_path)
    launchers = [bench.launch(0, 6) for _ in range(2)]
    assert [launcher.wait(timeout=120) for launcher in launchers] == [0, 0]
    plan = fakes.chains(6, steps=8, pause=0.005)
    assert sorted(writes.published(bench.hooks)) == sorted(plan.stages)
    check(bench, plan, tmp_path / "undisturbed")


def paused_worker(bench, stage, place):
    """A worker that was stopped by SIGSTOP in the middle of a write, and whose lock looks old."""
    bench.store.write_stage(stage.id, stage.record)
    environment = {**os.environ, fakes.WRITES: str(bench.hooks)}
    bench.arm(writes.WORKERS, place)
    command = [*fakes.WORKER, str(bench.store.root), stage.id]
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    _wait(lambda: writes.marks(bench.hooks).get(worker.pid) or worker.poll() is not None)  # a mark is empty at first
    os.kill(worker.pid, signal.SIGSTOP)
    bench.disarm(writes.WORKERS)
    assert (bench.hooks / f"{worker.pid}.mark").read_text() == place
    os.utime(bench.store.stage_folder(stage.id) / "lock", (1, 1))
    return worker


@pytest.mark.parametrize("place", ["half of part1.txt", "before replacing state.json"])
def test_a_writer_paused_in_a_write_cannot_overwrite(tmp_path, monkeypatch, place):
    """Another finishes the stage meanwhile; the first wakes up and changes nothing, not even the log."""
    monkeypatch.setattr(lease, "STALE_SECONDS", 2.0)  # of the other; a minute in use
    bench = Bench(tmp_path)
    stage = fakes.stage("count", steps=3)
    worker = paused_worker(bench, stage, place)
    assert attempt(bench.store, stage.id, fakes.KINDS, lambda: False) == "done"
    folder = bench.store.stage_folder(stage.id)
    kept = [folder / name for name in ("status.json", "log.jsonl", *(f"result/part{part}.txt" for part in range(3)))]
    before = [path.read_bytes() for path in kept]
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(timeout=30) == BUSY
    assert [path.read_bytes() for path in kept] == before
    assert bench.store.stage(stage.id).damaged() == []
    assert writes.published(bench.hooks) == []


@pytest.mark.parametrize("place", ["before renaming to result", "half of status.json", "half of env.json"])
def test_a_writer_paused_in_a_guarded_write_makes_others_wait(tmp_path, place):
    """Nobody else begins or publishes until it wakes up. It wakes before the others have watched its lock for a minute, and so
    still owns it."""
    bench = Bench(tmp_path)
    stage = fakes.stage("count", steps=3)
    worker = paused_worker(bench, stage, place)
    second = subprocess.Popen([*fakes.WORKER, str(bench.store.root), stage.id], stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=2)
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.wait(timeout=30) == DONE
    assert second.wait(timeout=30) == DONE
    view = bench.store.stage(stage.id)
    assert (view.state, view.damaged(), view.status.attempt) == ("done", [], 1)
    assert len(writes.published(bench.hooks)) == 1


def _wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
