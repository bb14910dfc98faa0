"""One stage by several processes: what enters its id, who may start it, and how it ends when one of them does."""

from __future__ import annotations

import pytest

from experiments.launch.inprocess import InProcess
from experiments.launch.pool import processes as crew
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.run.attempt import attempt
from experiments.spec.document import SpecError
from experiments.store.folder import Store
from tests.experiments.plan.test_build import plan_for
from tests.support.processes import crew_fakes, fakes
from yolact.errors import UserError


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def run(store, *stages, cores=4):
    plan, events = fakes.plan_of(*stages), []
    pool = Pool(Machine(cores=cores), kinds=crew_fakes.KINDS, command=crew_fakes.WORKER)
    return pool.run(plan, set(plan.stages), store, events.append), events


def train_id(*settings):
    return plan_for("nms", *settings).runs[0].stages["train"]


FROZEN = "model.backbone.freeze_bn=true"
CUDA = "runtime.device=cuda"


@pytest.mark.parametrize(
    ("settings", "split", "same"),
    [
        ((), ("runtime.devices=2",), False),
        ((FROZEN,), ("runtime.devices=2",), False),
        ((CUDA,), ("runtime.devices=2",), False),
        ((CUDA, FROZEN), ("runtime.devices=2",), True),
        ((CUDA, FROZEN), ("runtime.devices=2", "runtime.nodes=2"), True),
        (("runtime.devices=4",), ("runtime.devices=2", "runtime.nodes=2"), True),
        (("runtime.devices=2",), ("runtime.devices=2", "runtime.nodes=2"), False),
    ],
)
def test_the_split_enters_the_id_where_it_changes_the_result(settings, split, same):
    assert (train_id(*settings) == train_id(*settings, *split)) is same


def test_only_a_training_has_several_processes():
    plan = plan_for("nms", "runtime.devices=2", "runtime.nodes=2")
    assert {stage.kind: stage.processes for stage in plan.stages.values()} == {"train": 4, "predict": 1, "coco": 1, "speed": 1}


def test_a_batch_that_cannot_be_split_is_refused_when_planned():
    with pytest.raises(SpecError, match=r"training\.batch_size 8 can't be split equally over 3 processes.*runtime\.devices 3"):
        plan_for("nms", "runtime.devices=3")


def test_the_pool_starts_all_processes(store):
    stage = crew_fakes.stage(3)
    outcome, _ = run(store, stage)
    assert outcome.exit_status == 0
    assert (store.stage(stage.id).result / "met.txt").read_text().splitlines() == ["1 1", "2 1"]


@pytest.mark.parametrize(("cores", "most"), [(4, 2), (3, 1)])
def test_every_process_counts_its_threads(store, cores, most):
    stages = [crew_fakes.stage(2, pause=0.3, number=number) for number in range(2)]
    _, events = run(store, *stages, cores=cores)
    running, peak = set(), 0
    for event in events:
        if event.what == "started":
            running.add(event.stage_id)
        if event.what == "done":
            running.remove(event.stage_id)
        peak = max(peak, len(running))
    assert peak == most


@pytest.mark.parametrize(
    ("ends", "message"), [("killed", "process 1 of 2 was killed by SIGKILL"), ("failed", "process 1 has no card")]
)
def test_a_lost_process_ends_the_others_that_do_not_notice(store, monkeypatch, ends, message):
    monkeypatch.setattr(crew, "GRACE_SECONDS", 0.5)
    stage = crew_fakes.stage(2, ends=ends)
    outcome, events = run(store, stage)
    assert outcome.states == {stage.id: "failed"}
    assert message in next(event.data["message"] for event in events if event.what == "failed")
    assert store.state(stage.id) == "interrupted", "its leader was stuck, and can be started again"


def test_one_process_refuses_what_needs_several(store):
    stage = crew_fakes.stage(2)
    plan = fakes.plan_of(stage)
    with pytest.raises(UserError, match=r"trains by 2 processes .*use --launcher pool"):
        InProcess(crew_fakes.KINDS).run(plan, set(plan.stages), store, lambda event: None)
    assert run(store, stage)[0].exit_status == 0
    assert InProcess(crew_fakes.KINDS).run(plan, set(plan.stages), store, lambda event: None).exit_status == 0


def test_a_launcher_that_starts_too_few_is_a_recorded_failure(store):
    stage = crew_fakes.stage(2)
    store.write_stage(stage.id, stage.record)
    assert attempt(store, stage.id, crew_fakes.KINDS, lambda: False) == "failed"
    assert "planned for 2 processes" in store.stage(stage.id).status.error["message"]
