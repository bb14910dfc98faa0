"""Launchers: isolation of failures, thread budget, Ctrl-C, kill -9 of workers and of the parent."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.launch.inprocess import InProcess
from experiments.launch.launcher import Queue
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.store.folder import Store
from tests.support.paths import ROOT
from tests.support.processes import fakes

PARENT = """
import sys
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.store.folder import Store
from tests.support.processes import fakes
pool = Pool(Machine(cores=2), kinds=fakes.KINDS, command=fakes.WORKER)
plan = fakes.chains(int(sys.argv[2]), steps=int(sys.argv[3]), pause=float(sys.argv[4]))
outcome = pool.run(plan, set(plan.stages), Store(sys.argv[1]), lambda event: None)
sys.exit(outcome.exit_status)
"""


def pool(**options):
    return Pool(**{"machine": Machine(cores=2), "kinds": fakes.KINDS, "command": fakes.WORKER, **options})


LAUNCHERS = {"inprocess": lambda: InProcess(fakes.KINDS), "pool": pool}


def digests(store, plan):
    return {stage_id: dict(store.stage(stage_id).status.digests) for stage_id in plan.stages}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Digests of a plan's results in a run that nothing disturbed."""

    known = {}

    def run(plan):
        key = tuple(plan.stages)
        if key not in known:
            known[key] = fresh(plan)
        return known[key]

    def fresh(plan):
        store = Store(tmp_path_factory.mktemp("undisturbed"))
        InProcess(fakes.KINDS).run(plan, set(plan.stages), store, lambda event: None)
        return digests(store, plan)

    return run


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_every_launcher_gives_the_same_bytes(launcher, store, undisturbed):
    plan = fakes.chains(2)
    events = []
    outcome = LAUNCHERS[launcher]().run(plan, set(plan.stages), store, events.append)
    assert outcome.exit_status == 0
    assert digests(store, plan) == undisturbed(plan)
    assert {event.what for event in events} >= {"started", "step", "done"}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_failure_blocks_what_needs_it_and_nothing_else(launcher, store):
    failing = fakes.stage("fail")
    after = fakes.stage("after_fail", inputs={"fail": failing.id})
    plan = fakes.plan_of(failing, after, *fakes.chains(1).stages.values())
    events = []
    outcome = LAUNCHERS[launcher]().run(plan, set(plan.stages), store, events.append)
    assert sorted(outcome.states.values()) == ["blocked", "done", "done", "failed"]
    assert outcome.exit_status == 1
    assert [e.data["message"] for e in events if e.what == "failed"] == ["this stage fails on purpose"]
    assert [e.data["by"] for e in events if e.what == "blocked"] == [failing.id]


def test_a_second_run_does_nothing(store):
    plan = fakes.chains(1)
    pool().run(plan, set(plan.stages), store, lambda event: None)
    events = []
    assert pool().run(plan, set(plan.stages), store, events.append).exit_status == 0
    assert events == []


def test_chosen_stages_bring_what_they_need(store):
    plan = fakes.chains(2)
    last = list(plan.stages)[-1]
    outcome = pool().run(plan, {last}, store, lambda event: None)
    assert len(outcome.states) == 2


def test_the_longest_path_goes_first(store):
    short, long = fakes.stage("clock"), fakes.stage("count", seed=1, steps=1)
    plan = fakes.plan_of(short, long, fakes.stage("double", inputs={"count": long.id}))
    assert [stage.id for stage in Queue(plan, set(plan.stages), store).ready()] == [long.id, short.id]


@pytest.mark.parametrize(("threads", "workers", "most"), [(1, None, 2), (2, None, 1), (1, 1, 1), (5, None, 1)])
def test_threads_never_exceed_cores(store, threads, workers, most):
    stages = [fakes.stage("count", seed=seed, threads=threads, steps=2, pause=0.05) for seed in range(3)]
    running, peak = set(), 0

    def watch(event):
        nonlocal peak
        running.add(event.stage_id) if event.what == "started" else None
        running.discard(event.stage_id) if event.what == "done" else None
        peak = max(peak, len(running))

    plan = fakes.plan_of(*stages)
    assert pool(machine=Machine(cores=2, workers=workers)).run(plan, set(plan.stages), store, watch).exit_status == 0
    assert peak == most


def test_stages_that_measure_time_run_alone_and_last(store):
    clocks = [fakes.stage("clock", seed=seed) for seed in range(2)]
    counts = [fakes.stage("count", seed=seed, steps=2) for seed in range(2)]
    plan = fakes.plan_of(*clocks, *counts)
    running, alone = set(), []

    def watch(event):
        if event.what == "started":
            running.add(event.stage_id)
            alone.append(len(running)) if event.stage_id.startswith("clock") else None
        if event.what == "done":
            running.discard(event.stage_id)

    pool().run(plan, set(plan.stages), store, watch)
    assert alone == [1, 1]
    read = [json.loads((store.stage(stage.id).result / "clock.json").read_text()) for stage in clocks]
    first, second = sorted(read, key=lambda times: times["begun"])
    assert first["ended"] <= second["begun"]


def _parent(store, chains=2, steps=40, pause=0.02):
    command = [sys.executable, "-c", PARENT, str(store.root), str(chains), str(steps), str(pause)]
    return subprocess.Popen(command, cwd=ROOT)


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def _holders(store):
    pids = []
    for path in (store.root / "runs").glob("*/lock"):
        try:
            pids.append(json.loads(path.read_text())["pid"])
        except (OSError, json.JSONDecodeError):
            continue
    return pids


def _checkpoints(store):
    return list((store.root / "runs").glob("*/checkpoint/state.json"))


def test_interrupt_saves_and_the_same_command_goes_on(store, undisturbed):
    plan = fakes.chains(2, 40, 0.02)
    parent = _parent(store)
    _wait(lambda: len(_checkpoints(store)) == 2)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(timeout=30) == 130
    states = {store.state(stage_id) for stage_id in plan.stages}
    assert states == {"interrupted", "planned"}
    assert _parent(store).wait(timeout=60) == 0
    assert digests(store, plan) == undisturbed(plan)
    for stage_id in plan.stages:
        steps = [event["iteration"] for event in store.stage(stage_id).log if event["event"] == "step"]
        assert steps == sorted(set(steps)), "a step was done twice though the worker had saved"


@pytest.mark.slow
def test_kill_of_the_parent_ends_its_workers_which_save(store, undisturbed):
    plan = fakes.chains(2, 40, 0.02)
    parent = _parent(store)
    _wait(lambda: len(_checkpoints(store)) == 2)
    workers = _holders(store)
    parent.kill()
    parent.wait()
    _wait(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert {store.state(stage_id) for stage_id in plan.stages} == {"interrupted", "planned"}
    assert _parent(store).wait(timeout=60) == 0
    assert digests(store, plan) == undisturbed(plan)


CLOSING_DOWN = """
import os, signal, sys
from experiments.run import worker
from tests.support.processes import fakes
worker.main(sys.argv[1:], kinds=fakes.KINDS)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_worker_killed_after_it_published_is_done(store):
    plan = fakes.chains(1)
    events = []
    outcome = pool(command=(sys.executable, "-c", CLOSING_DOWN)).run(plan, set(plan.stages), store, events.append)
    assert outcome.exit_status == 0
    assert [event.what for event in events if event.what in ("done", "failed", "blocked")] == ["done", "done"]


@pytest.mark.slow
def test_kill_of_a_worker_is_a_failure_that_the_next_run_mends(store, undisturbed):
    plan = fakes.chains(2, 40, 0.02)
    parent = _parent(store)
    _wait(lambda: len(_checkpoints(store)) == 2)
    os.kill(_holders(store)[0], signal.SIGKILL)
    assert parent.wait(timeout=60) == 1
    assert sorted(store.state(stage_id) for stage_id in plan.stages) == ["done", "done", "interrupted", "planned"]
    assert _parent(store).wait(timeout=60) == 0
    assert digests(store, plan) == undisturbed(plan)


@pytest.mark.slow
def test_random_kills(store, undisturbed):
    """kill -9 of workers and parents at random moments until everything is done: the bytes of an undisturbed run."""
    plan = fakes.chains(4, 60, 0.05)  # a stage takes longer than a launcher lives, so kills meet it on any machine
    draw = random.Random(1)
    kills = 0
    while any(store.state(stage_id) != "done" for stage_id in plan.stages):
        parent = _parent(store, chains=4, steps=60, pause=0.05)
        end = time.monotonic() + draw.uniform(0.3, 2.5)
        while time.monotonic() < end and parent.poll() is None:
            time.sleep(draw.uniform(0.01, 0.3))
            victims = _holders(store)
            if victims and draw.random() < 0.5 and kills < 40:
                try:
                    os.kill(draw.choice(victims), signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    continue
        if kills < 40:
            parent.kill()
            kills += 1
        parent.wait(timeout=120)
    assert kills >= 10
    assert digests(store, plan) == undisturbed(plan)
    assert all(store.stage(stage_id).damaged() == [] for stage_id in plan.stages)
    assert not list(store.root.rglob("*.tmp"))
