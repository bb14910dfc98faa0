"""A real SLURM for the session, and what every test on it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from experiments.launch.inprocess import InProcess
from experiments.launch.slurm.cluster import Cluster
from experiments.launch.slurm.launcher import Slurm
from experiments.launch.slurm.state import scheduler_states
from experiments.store.folder import Store
from tests.slurm.kinds import KINDS
from tests.slurm.virtual_cluster import SEARCH, VirtualCluster, missing
from tests.support.paths import ROOT


def started(accounting):
    """A cluster; the test skips where SLURM is not installed, and fails where REQUIRE_SLURM=1 says that it should be."""
    absent = missing(accounting)
    if absent and os.environ.get("REQUIRE_SLURM") == "1":
        pytest.fail(f"REQUIRE_SLURM=1, but not installed: {', '.join(absent)}")
    if absent:
        pytest.skip(f"SLURM is not installed: no {', '.join(absent)}")
    # a socket's path holds 107 characters, which pytest's folders may use up
    cluster = VirtualCluster(Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp")), accounting)
    try:
        cluster.start()
    except BaseException:
        cluster.stop()
        raise
    return cluster


@pytest.fixture(scope="session")
def session_cluster():
    cluster = started(accounting=True)
    yield cluster
    cluster.stop()
    shutil.rmtree(cluster.folder, ignore_errors=True)


def use(cluster, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    monkeypatch.setenv("PATH", f"{SEARCH}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def slurm(session_cluster, monkeypatch):
    """The cluster with accounting, empty; this process's commands speak to it."""
    use(session_cluster, monkeypatch)
    yield session_cluster
    session_cluster.ask("scancel", f"--user={session_cluster.user}")
    wait(lambda: not session_cluster.ask("squeue", "-h").strip(), 30)


@pytest.fixture
def slurm_without_accounting(monkeypatch):
    cluster = started(accounting=False)
    use(cluster, monkeypatch)
    yield cluster
    cluster.stop()
    shutil.rmtree(cluster.folder, ignore_errors=True)


@pytest.fixture
def store(tmp_path):
    """The path has a space, as users' folders do."""
    return Store(tmp_path / "my results")


def submit(store, plan, **resources):
    """Submit all of a plan; returns {stage id: job id} of what was submitted."""
    asked = Cluster.from_data({"time": 20, "memory": 0.5, **resources})
    jobs = {}

    def note(event):
        jobs[event.stage_id] = event.data["job"]

    Slurm(asked, KINDS, "tests.slurm.kinds:KINDS").run(plan, set(plan.stages), store, note)
    return jobs


def yolact(folder, *arguments):
    """Run one command line there; returns what it printed."""
    command = [sys.executable, "-m", "experiments.cli.main", *arguments]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def wait(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s"
        time.sleep(0.1)


def wait_until_done(store, plan, seconds=90.0):
    wait(lambda: all(store.state(stage_id) == "done" for stage_id in plan.stages), seconds)


def wait_for_state(store, stage_id, state, seconds=60.0):
    """Wait for what the scheduler says, which lags behind; returns it."""
    found = {}

    def there():
        time.sleep(0.3)
        found.update(scheduler_states(store))
        return stage_id in found and found[stage_id].state == state

    try:
        wait(there, seconds)
    except AssertionError:
        raise AssertionError(f"{stage_id} is not {state!r} but {found.get(stage_id)}") from None
    return found[stage_id]


def digests(store, plan):
    return {stage_id: dict(store.stage(stage_id).status.digests) for stage_id in plan.stages}


def undisturbed(folder, plan):
    """Digests of the plan run in this process, without its pauses."""
    store = Store(folder / "undisturbed")
    with patch("time.sleep"):
        InProcess(KINDS).run(plan, set(plan.stages), store, lambda event: None)
    return digests(store, plan)


def steps(store, stage_id):
    """Iterations that the stage logged, over all attempts."""
    return [event["iteration"] for event in store.stage(stage_id).log if event["event"] == "step"]
