"""Stages through arrays, dependencies and resources of a real SLURM, and the code they run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from experiments.cli.ask.submit import dropped
from experiments.launch.slurm.query import partition_limits
from experiments.launch.slurm.state import cancel, scheduler_states
from experiments.store.folder import Store
from tests.slurm.conftest import ROOT, steps, submit, wait, wait_for_state, wait_until_done, yolact
from tests.support.processes import fakes

pytestmark = pytest.mark.slow

SPEC = """
title: Eight stages
question: Does it come out the same?
preset: yolact_base
reference: baseline
measure: [coco, prototypes]
base: {training.iterations: 3, training.batch_size: 2}
variants:
  baseline: {label: YOLACT}
  one-prototype: {label: k = 1, set: {model.mask_branch.k: 1}}
"""
DATA = "{kind: shapes, name: tiny, shapes: {train: 8, val: 4, test: 4}}\n"
CLUSTER = "{partition: ci, time: 20, memory: 1.9, max_parallel: 2}\n"
SUBMIT = """
import sys
from experiments.launch.slurm.cluster import Cluster
from experiments.launch.slurm.launcher import Slurm
from experiments.store.folder import Store
from tests.support.processes import fakes
from tests.slurm.kinds import KINDS
plan = fakes.chains(1)
Slurm(Cluster(time=20, memory=0.5), KINDS, "tests.slurm.kinds:KINDS").run(plan, set(plan.stages), Store(sys.argv[1]), print)
"""


@pytest.fixture
def held(slurm):
    """Jobs wait until `held` is called."""

    def set_to(state):
        slurm.ask("scontrol", "update", "PartitionName=ci", f"State={state}")

    set_to("DOWN")
    yield lambda: set_to("UP")
    set_to("UP")


def test_eight_real_stages_give_the_bytes_of_the_local_launcher(slurm, tmp_path):
    for name, text in (("eight.yaml", SPEC), ("tiny.yaml", DATA), ("cluster.yaml", CLUSTER)):
        (tmp_path / name).write_text(text)
    question = ("eight.yaml", "--scale", "toy", "--seeds", "0", "--data", "tiny.yaml")
    on_slurm = ("--launcher", "slurm", "--config", "cluster.yaml", "--results", "cluster results")
    assert "submitted 8 stages as jobs" in yolact(tmp_path, "run", *question, *on_slurm)
    store = Store(tmp_path / "cluster results")
    assert "submitted 0 stages; 8 were in the queue already" in yolact(tmp_path, "run", *question, *on_slurm)
    assert len(list(store.root.glob("slurm/*/*_submission.sh"))) == 4, "one call of sbatch per kind"
    ids = [view.id for view in store.records()]
    assert len(ids) == 8
    wait(lambda: all(store.state(stage_id) == "done" for stage_id in ids), 240)
    yolact(tmp_path, "run", *question, "--results", "local")
    local = Store(tmp_path / "local")
    for stage_id in ids:
        assert dict(store.stage(stage_id).status.digests) == dict(local.stage(stage_id).status.digests), stage_id
    snapshot = json.loads(next(store.root.glob("code/snapshot-*/commit.json")).read_text())
    assert all(store.stage(stage_id).env["code"]["commit"] == snapshot["commit"] for stage_id in ids)


def test_a_failure_ends_what_needs_it_and_nothing_else(slurm, store):
    failing = fakes.stage("fail")
    after = fakes.stage("after_fail", inputs={"fail": failing.id})
    others = fakes.chains(2)
    plan = fakes.plan_of(failing, after, *others.stages.values())
    submit(store, plan)
    assert wait_for_state(store, failing.id, "failed").reason == "this stage fails on purpose"
    assert wait_for_state(store, after.id, "cancelled").reason == "the stage it waited for failed"
    wait_until_done(store, others)
    assert store.state(failing.id) == "failed" and store.state(after.id) == "planned"


def test_where_slurm_cannot_pair_stages_a_job_looks_at_its_inputs(slurm, store):
    quick, long = fakes.stage("count", seed=1, steps=3), fakes.stage("count", seed=2, steps=200, pause=0.2)
    doubles = {
        first.id: [fakes.stage("double", inputs={"count": first.id}, number=n) for n in range(2)] for first in (quick, long)
    }
    plan = fakes.plan_of(quick, long, *doubles[quick.id], *doubles[long.id])
    submit(store, plan)
    wait(lambda: store.state(long.id) == "running" and steps(store, long.id))
    assert scheduler_states(store)[doubles[long.id][0].id].reason == f"waiting for {long.id}"
    cancel(store, [long.id])
    wait(lambda: all(store.state(stage.id) == "done" for stage in doubles[quick.id]))
    for stage in doubles[long.id]:
        assert wait_for_state(store, stage.id, "failed").reason == "a stage it needs is not done"
        assert store.state(stage.id) == "planned"


def test_editing_the_checkout_does_not_change_a_queued_job(held, store, tmp_path):
    checkout = tmp_path / "checkout"
    for room in ("yolact", "experiments"):
        shutil.copytree(ROOT / room, checkout / room, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": f"{checkout}:{ROOT}"}
    subprocess.run([sys.executable, "-c", SUBMIT, str(store.root)], cwd=checkout, env=environment, check=True, timeout=120)
    for edited in ("experiments/run/attempt.py", "experiments/launch/slurm/job.py", "yolact/runtime/files.py"):
        (checkout / edited).write_text("raise RuntimeError('a queued job runs the edited checkout')\n")
    held()
    wait_until_done(store, fakes.chains(1))


def test_what_a_question_dropped_is_cancelled_only_when_asked(held, store):
    both, one = fakes.chains(2), fakes.chains(1)
    submit(store, both)
    assert submit(store, one) == {}, "all of it is in the queue"
    left = set(both.stages) - set(one.stages)
    assert set(dropped(one, store)) == left
    count, double = sorted(left)
    record = {"experiment": "other", "scale": "toy", "runs": [{"variant": "a", "seed": 0, "stages": {"count": count}}]}
    store.write_experiment(record)
    assert dropped(one, store) == [double], "another experiment needs the count"
    assert cancel(store, [double]) == [double]
    assert wait_for_state(store, double, "cancelled").reason == "by yolact cancel, before it began"
    assert {stage_id for stage_id, state in scheduler_states(store).items() if state.alive} == set(both.stages) - {double}


def test_a_job_gets_what_it_asked_for(slurm, store):
    looks = [fakes.stage("look", seed=seed, threads=2) for seed in range(2)]
    for look in looks:
        look.content["device"] = "cuda"
    submit(store, fakes.plan_of(*looks), gpus=1, setup=["export SEEN_SETUP='a b'"])
    wait(lambda: all(store.state(look.id) == "done" for look in looks))
    seen = [json.loads((store.stage(look.id).result / "seen.json").read_text()) for look in looks]
    assert all(one["CUDA_VISIBLE_DEVICES"] in ("0", "1") for one in seen)
    assert [(one["SLURM_CPUS_PER_TASK"], one["OMP_NUM_THREADS"], one["SEEN_SETUP"]) for one in seen] == [("2", "2", "a b")] * 2


def test_the_partition_says_what_it_allows(slurm):
    limits = partition_limits(None)
    assert limits.minutes == 60 and limits.memory_gib > 0.5
    assert partition_limits(limits.name) == limits
