"""Jobs of a real SLURM that are disturbed: each resumes to the bytes of an undisturbed run, or fails with its cause named."""

from __future__ import annotations

import json
import os
import signal

import pytest

from experiments.launch.slurm.state import cancel, scheduler_states
from experiments.store.folder import Store
from tests.slurm.conftest import digests, steps, submit, undisturbed, wait, wait_for_state, wait_until_done, yolact
from tests.support.processes import fakes

pytestmark = pytest.mark.slow


def long_and_short(pause=0.2):
    """(plan, the long stage's id, the short one's): two counts, with a doubling after the first."""
    long, short = fakes.stage("count", seed=1, steps=40, pause=pause), fakes.stage("count", seed=2, steps=30, pause=pause)
    return fakes.plan_of(long, short, fakes.stage("double", inputs={"count": long.id})), long.id, short.id


def begun(store, stage_id, least=3):
    """The stage has done a few steps, so that there is something to lose."""
    wait(lambda: store.has(stage_id) and len(steps(store, stage_id)) >= least)


def kept(store, stage_id):
    """No step was done twice: the stage saved itself, and resumed from there."""
    done = steps(store, stage_id)
    return done == sorted(set(done))


def pid(store, stage_id):
    return json.loads((store.stage(stage_id).folder / "lock").read_text())["pid"]


def test_preempted_by_a_higher_partition(slurm, store, tmp_path):
    plan, long, short = long_and_short()
    submit(store, plan)
    begun(store, long), begun(store, short)
    slurm.ask("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--time=5", "--output=/dev/null", "--wrap=sleep 2")
    wait(lambda: store.state(long) == store.state(short) == "interrupted")
    wait_until_done(store, plan)
    assert kept(store, long) and kept(store, short)
    assert store.stage(long).status.attempt == 2
    assert digests(store, plan) == undisturbed(tmp_path, plan)


def test_time_limit_resumes_what_gets_on_and_ends_what_does_not(slurm, store, tmp_path):
    steady = fakes.stage("count", steps=75, pause=0.45)
    idle = fakes.stage("idle")
    plan = fakes.plan_of(steady, idle)
    submit(store, plan, time=1, save_seconds=35)
    wait(lambda: store.state(steady.id) == "done", 150)
    assert store.stage(steady.id).status.attempt >= 2
    assert kept(store, steady.id)
    ended = wait_for_state(store, idle.id, "failed")
    assert "time limit is too short" in ended.reason
    alone = fakes.plan_of(fakes.stage("count", steps=75, pause=0.45))
    assert digests(store, alone) == undisturbed(tmp_path, fakes.plan_of(steady))


def test_cancelled_saves_and_a_resubmission_goes_on(slurm, store, tmp_path):
    plan, long, short = long_and_short()
    submit(store, plan)
    begun(store, long)
    assert cancel(store, [long]) == [long]
    ended = wait_for_state(store, long, "cancelled")
    assert ended.reason.startswith("by ")
    after = next(stage_id for stage_id in plan.stages if stage_id.startswith("double"))
    assert wait_for_state(store, after, "cancelled").reason == "the stage it waited for failed"
    wait(lambda: store.state(long) == "interrupted")
    wait(lambda: store.state(short) == "done")
    assert store.stage(short).status.attempt == 1
    assert set(submit(store, plan)) == {long, after}
    wait_until_done(store, plan)
    assert kept(store, long)
    assert digests(store, plan) == undisturbed(tmp_path, plan)


def test_killed_is_named_and_a_resubmission_goes_on(slurm, store, tmp_path):
    plan, long, short = long_and_short()
    submit(store, plan)
    begun(store, long)
    os.kill(pid(store, long), signal.SIGKILL)
    assert wait_for_state(store, long, "failed").reason == "killed by SIGKILL"
    assert store.state(long) == "interrupted"
    wait(lambda: store.state(short) == "done")
    submit(store, plan)
    wait_until_done(store, plan)
    assert store.stage(short).status.attempt == 1
    assert digests(store, plan) == undisturbed(tmp_path, plan)


def test_node_set_down(slurm, store, tmp_path):
    plan, long, short = long_and_short()
    submit(store, plan, cpus=2)
    begun(store, long), begun(store, short)
    node = scheduler_states(store)[long].node
    assert scheduler_states(store)[short].node != node
    slurm.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        wait(lambda: store.state(long) == "interrupted")
        waiting = wait_for_state(store, long, "pending")
        assert waiting.alive and submit(store, plan) == {}
    finally:
        slurm.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
    wait_until_done(store, plan)
    assert store.stage(short).status.attempt == 1
    assert digests(store, plan) == undisturbed(tmp_path, plan)


TWO_NODES = """
title: Two nodes
question: Does an interruption change it?
preset: yolact_base
reference: baseline
measure: []
base: {training.iterations: 30, training.batch_size: 2, training.log_every: 1}
variants: {baseline: {label: YOLACT}}
"""


def test_a_training_on_two_nodes_is_interrupted_and_ends_with_the_same_bits(slurm, tmp_path):
    (tmp_path / "pair.yaml").write_text(TWO_NODES)
    (tmp_path / "tiny.yaml").write_text("{kind: shapes, name: tiny, shapes: {train: 8, val: 2, test: 2}}\n")
    (tmp_path / "cluster.yaml").write_text("{time: 20, memory: 1.9}\n")
    question = ("pair.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml", "--set", "runtime.nodes=2")
    yolact(tmp_path, "run", *question, "--launcher", "slurm", "--config", "cluster.yaml", "--results", "cluster")
    store = Store(tmp_path / "cluster")
    (view,) = store.records()
    wait(lambda: len(steps(store, view.id)) >= 3, 120)
    job = scheduler_states(store)[view.id].job_id
    for name in ("TERM", "USR2"):  # what SLURM sends before it preempts
        slurm.ask("scancel", f"--signal={name}", job)
    wait(lambda: store.state(view.id) == "interrupted")
    yolact(tmp_path, "run", *question, "--results", "local")
    wait(lambda: store.state(view.id) == "done", 150)
    assert view.status.attempt == 2 and kept(store, view.id)
    assert dict(view.status.digests) == dict(Store(tmp_path / "local").stage(view.id).status.digests)


def test_out_of_memory_is_named(slurm, store):
    hungry, modest = fakes.stage("eat", megabytes=600), fakes.stage("count", steps=10, pause=0.2)
    plan = fakes.plan_of(hungry, modest)
    submit(store, plan, memory=0.25)
    ended = wait_for_state(store, hungry.id, "out of memory")
    assert "raise `memory`" in ended.reason
    assert store.state(hungry.id) == "interrupted"
    wait(lambda: store.state(modest.id) == "done")


def test_killed_is_named_without_accounting(slurm_without_accounting, store):
    plan, long, _ = long_and_short()
    submit(store, plan)
    begun(store, long)
    os.kill(pid(store, long), signal.SIGKILL)
    assert wait_for_state(store, long, "failed").reason == "killed by SIGKILL"
    after = next(stage_id for stage_id in plan.stages if stage_id.startswith("double"))
    assert set(submit(store, plan)) == {long, after}, "also where SLURM hasn't yet ended what waits for the killed job"
    wait_until_done(store, plan)


def test_a_job_the_scheduler_forgot_is_submitted_again(slurm, store):
    stage = fakes.stage("count", steps=2)
    plan = fakes.plan_of(stage)
    slurm.ask("scontrol", "update", "PartitionName=ci", "State=DOWN")
    try:
        submit(store, plan)
        record = store.stage(stage.id).folder / "job.json"
        record.write_text(record.read_text().replace(f'"{scheduler_states(store)[stage.id].job_id}"', '"999999"'))
        assert scheduler_states(store)[stage.id].state == "gone"
        assert list(submit(store, plan)) == [stage.id]
    finally:
        slurm.ask("scontrol", "update", "PartitionName=ci", "State=UP")
    wait_until_done(store, plan)
