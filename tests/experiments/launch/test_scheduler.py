"""How often SLURM's commands are called, with stand-ins that note each call."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from experiments.cli.main import call
from experiments.cli.watch import status as status_command
from experiments.launch.slurm import state
from experiments.launch.slurm.query import SchedulerError
from experiments.launch.slurm.record import write_record
from experiments.launch.slurm.state import PolledScheduler, scheduler_states
from experiments.store.durable import write_json
from experiments.store.folder import Store
from tests.support.processes import fakes

NOTE = '#!/bin/sh\necho "$(basename "$0") $*" >> "$CALLS"\n'
ANSWERS = {
    "squeue": "echo '11_0|PENDING|Priority|'",
    "sacct": "exit 0",
    "scontrol": """for array in 12 13; do
    echo "JobId=$array ArrayJobId=$array ArrayTaskId=0 JobState=FAILED ExitCode=1:0 Reason=None"
done""",
}


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A function that gives the calls so far; commands answer as ANSWERS says."""
    commands, noted = tmp_path / "bin", tmp_path / "calls"
    commands.mkdir()
    noted.touch()
    for name, line in ANSWERS.items():
        (commands / name).write_text(f"{NOTE}{line}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(noted))
    return lambda: noted.read_text().splitlines()


@pytest.fixture
def store(tmp_path):
    """Three stages, handed over as jobs of three arrays; one waits, two have ended."""
    store = Store(tmp_path / "results")
    stages = [fakes.stage("count", seed=seed) for seed in range(3)]
    for number, stage in enumerate(stages):
        store.write_stage(stage.id, stage.record)
        write_record(store, stage.id, f"1{number + 1}_0", "fake-toy", "slurm/x")
    runs = [{"variant": str(number), "seed": 0, "stages": {"count": stage.id}} for number, stage in enumerate(stages)]
    store.write_experiment({"experiment": "fake", "scale": "toy", "data": {"name": "none"}, "runs": runs})
    return store


def test_one_look_is_three_calls_however_many_arrays(slurm, store):
    states = scheduler_states(store)
    assert sorted(each.state for each in states.values()) == ["failed", "failed", "pending"]
    assert slurm()[-1] == "scontrol --oneliner show job", "it takes one id or none"
    assert Counter(line.split()[0] for line in slurm()) == {"squeue": 1, "sacct": 1, "scontrol": 1}


def test_accounting_is_asked_from_the_earliest_submission_that_it_must_know(slurm, store):
    """Job 11 is still in the queue; of the others, the earlier was submitted on the 12th."""
    for path in (store.root / "runs").glob("*/job.json"):
        data = json.loads(path.read_text())
        write_json(path, {**data, "submitted": f"2026-11-{data['job_id'][:2]}T12:00:00+00:00"})
    scheduler_states(store)
    (asked,) = [line for line in slurm() if line.startswith("sacct")]
    assert "--starttime=2026-11-11" in asked, "a day earlier, as clocks differ"


def test_watching_asks_once_in_a_while(slurm, store, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(state.time, "monotonic", lambda: now[0])
    ask = PolledScheduler()
    first = scheduler_states(store, ask)
    calls = len(slurm())
    for _ in range(14):
        now[0] += status_command.WATCH_SECONDS
        assert scheduler_states(store, ask) == first
    assert len(slurm()) == calls
    now[0] += status_command.WATCH_SECONDS
    scheduler_states(store, ask)
    assert len(slurm()) == 2 * calls


def test_a_job_handed_over_meanwhile_is_pending(slurm, store):
    ask = PolledScheduler()
    scheduler_states(store, ask)
    calls, stage = len(slurm()), fakes.stage("count", seed=9)
    store.write_stage(stage.id, stage.record)
    write_record(store, stage.id, "99_0", "fake-toy", "slurm/x")
    assert scheduler_states(store, ask)[stage.id].state == "pending"
    assert len(slurm()) == calls


def test_a_scheduler_that_is_down_is_not_asked_again_at_once(store, monkeypatch):
    asked = []

    def down(records):
        asked.append(records)
        raise SchedulerError("squeue did not answer")

    monkeypatch.setattr(state.shutil, "which", lambda name: name)
    monkeypatch.setattr(state, "scheduler_answers", down)
    ask = PolledScheduler()
    for _ in range(3):
        with pytest.raises(SchedulerError):
            scheduler_states(store, ask)
    assert len(asked) == 1


def test_status_watch_calls_each_command_once(slurm, store, monkeypatch):
    """From the first table until a user leaves, ten looks later."""
    looks = iter(range(10))

    def sleep(seconds):
        if next(looks, None) is None:
            raise KeyboardInterrupt

    # of that module alone: `subprocess` sleeps too while it waits for a command
    monkeypatch.setattr(status_command, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    assert call(["status", "fake-toy", "--watch", "--results", str(store.root)]) == 130
    assert Counter(line.split()[0] for line in slurm()) == {"squeue": 1, "sacct": 1, "scontrol": 1}
