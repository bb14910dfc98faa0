"""A real training by two processes, started in every way and disturbed: always the same bytes in the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from experiments.datasets.find import find_dataset
from experiments.launch.pool.pool import WORKER, Pool
from experiments.launch.pool.processes import ProcessGroup
from experiments.launch.pool.resources import Machine
from experiments.plan.build import DataInfo, build_plan
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import load_scale, load_spec
from experiments.store.folder import Store
from tests.support.paths import ROOT
from tests.support.processes import fakes
from tests.support.processes.ranks import free_port

SHAPES = "kind: shapes\nname: tiny\nshapes: {image_size: 64, train: 6, val: 1, test: 1, seed: 3}\n"
STEPS = 30
SETTINGS = {
    "runtime.devices": 2,
    "training.iterations": STEPS,
    "training.batch_size": 4,
    "training.log_every": 5,
    "training.checkpoint_every": 5,
    "model.image_size": 64,
    "model.backbone.width": 4,
}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "experiments.run.worker")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    """The training of a plan at toy scale, on two processes."""
    declaration = tmp_path_factory.mktemp("declared") / "tiny.yaml"
    declaration.write_text(SHAPES)
    data = find_dataset(str(declaration))
    settings = [parse_setting(f"{field}={value}") for field, value in SETTINGS.items()]
    info = DataInfo(data.name, data.id, ("train", "val", "test"))
    plan = build_plan(
        load_spec("nms"), load_scale("toy"), info, location=str(declaration), settings=settings, seeds=(0,), measure=("train",)
    )
    made = plan.stages[plan.runs[0].stages["train"]]
    assert made.processes == 2 and made.content["fields"]["processes"] == 2
    return made


def by_pool(stage, store):
    plan, events = fakes.plan_of(stage), []
    outcome = Pool(Machine(cores=2)).run(plan, {stage.id}, store, events.append)
    return outcome.states[stage.id], events


@pytest.fixture(scope="module")
def undisturbed(stage, tmp_path_factory):
    """Digests of the result that the pool's two processes make."""
    store = Store(tmp_path_factory.mktemp("undisturbed"))
    state, _ = by_pool(stage, store)
    assert state == "done", store.stage(stage.id).status.error
    assert not (store.stage_folder(stage.id) / "lock").exists()
    return dict(store.stage(stage.id).status.digests)


@pytest.fixture
def store(stage, tmp_path):
    made = Store(tmp_path / "results")
    made.write_stage(stage.id, stage.record)
    return made


def checkpointed(store, stage, poll, seconds=90.0):
    """Wait until the training has a checkpoint; it must still be running."""
    end = time.monotonic() + seconds
    while not (store.stage_folder(stage.id) / "checkpoint" / "training.pt").exists():
        assert poll() is None and time.monotonic() < end
        time.sleep(0.02)


def ended(crew, seconds=90.0):
    end = time.monotonic() + seconds
    while (code := crew.poll()) is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    return code


def crew_of(store, stage):
    return ProcessGroup([*WORKER, str(store.root), stage.id], {"OMP_NUM_THREADS": "1"}, 2)


def test_under_torchrun(stage, store, undisturbed):
    command = [*TORCHRUN, str(store.root), stage.id]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stderr
    assert dict(store.stage(stage.id).status.digests) == undisturbed
    again = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert again.returncode == 0 and store.stage(stage.id).status.attempt == 1


def test_torchrun_with_another_number_is_refused(stage, store):
    command = [*TORCHRUN[:4], "3", *TORCHRUN[5:], str(store.root), stage.id]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 1
    assert "planned for 2 processes, started with 3" in result.stderr
    assert store.state(stage.id) == "planned"


def test_with_the_variables_of_srun(stage, store, undisturbed):
    common = {
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NODELIST": "127.0.0.[1-2]",
        "SLURM_JOB_ID": str(free_port()),
        "SLURM_LOCALID": "0",
    }
    common["MASTER_PORT"] = common["SLURM_JOB_ID"]
    processes = [
        subprocess.Popen(
            [*WORKER, str(store.root), stage.id], cwd=ROOT, env={**os.environ, **common, "SLURM_PROCID": str(rank)}
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    assert dict(store.stage(stage.id).status.digests) == undisturbed


@pytest.mark.parametrize("rank", [0, 1])
def test_sigterm_to_one_process_saves_all_at_the_same_step(stage, store, undisturbed, rank):
    crew = crew_of(store, stage)
    checkpointed(store, stage, crew.poll)
    crew._processes[rank].send_signal(signal.SIGTERM)
    assert ended(crew) == 3
    assert store.state(stage.id) == "interrupted"
    state, _ = by_pool(stage, store)
    assert state == "done" and dict(store.stage(stage.id).status.digests) == undisturbed
    steps = [event["iteration"] for event in store.stage(stage.id).log if event["event"] == "step"]
    assert steps == list(range(5, STEPS + 1, 5)), "a step was done twice though the training had saved"


@pytest.mark.parametrize("rank", [0, 1])
def test_kill_of_one_process_fails_the_attempt_and_the_next_goes_on(stage, store, undisturbed, rank):
    crew = crew_of(store, stage)
    checkpointed(store, stage, crew.poll)
    crew._processes[rank].kill()
    assert ended(crew) == (-9 if rank == 0 else 1)
    assert crew.killed() == f"process {rank} of 2 was killed by SIGKILL"
    status = store.stage(stage.id).status
    if rank == 0:
        assert status.state == "interrupted"
    else:
        assert status.state == "failed" and "gone without a word" in status.error["message"]
    state, _ = by_pool(stage, store)
    assert state == "done" and dict(store.stage(stage.id).status.digests) == undisturbed
    assert any("resumed" in event.get("message", "") for event in store.stage(stage.id).log)
