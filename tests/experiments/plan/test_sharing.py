"""Stages that share a worker or its imports: each ends, and comes out, as if it had run alone."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from experiments.launch.pool.forkserver_client import Forkserver
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.run import forkserver
from experiments.stages.kind import MOST_TOGETHER
from experiments.stages.table import forward_pass
from experiments.store.folder import Store
from experiments.store.lease import StageLock
from tests.support.paths import ROOT
from tests.support.processes import fakes, sharing_fakes
from tests.support.processes.sharing_fakes import look_at, made
from yolact.config import InferenceConfig


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def run(store, *stages, watch=lambda event: None, **options):
    plan, events = fakes.plan_of(*stages), []

    def note(event):
        events.append(event)
        watch(event)

    pool = Pool(**{"machine": Machine(cores=2), "kinds": sharing_fakes.KINDS, "command": sharing_fakes.WORKER, **options})
    return pool.run(plan, set(plan.stages), store, note), events


def company(store, stage):
    """With how many stages each of its workers had it, in order."""
    paths = (store.root / "data").glob(f"{stage.id}.*")
    return [int(path.read_text()) for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


def test_what_is_looked_at_by_the_same_network_is_done_together(store):
    stages = [*(look_at("a", variant) for variant in range(3)), look_at("b", 0), look_at("a", 3, threads=2)]
    outcome, _ = run(store, *stages)
    assert outcome.exit_status == 0
    assert [company(store, stage) for stage in stages] == [[3], [3], [3], [1], [1]]
    assert [(store.stage(stage.id).result / "found.txt").read_text() for stage in stages] == ["0\n", "1\n", "2\n", "0\n", "3\n"]
    assert store.stage(stages[0].id).status.shared["stages"] == 3
    assert not list((store.root / "runs").glob("*/lock")) and not list((store.root / "runs").glob("*/attempts"))


def test_no_more_share_than_memory_should_hold(store):
    stages = [look_at("a", variant) for variant in range(MOST_TOGETHER + 1)]
    run(store, *stages)
    assert sorted(company(store, stage) for stage in stages) == [[1]] + [[MOST_TOGETHER]] * MOST_TOGETHER


def test_cold_gives_the_same_and_shares_nothing(store, tmp_path):
    stages = [look_at("a", variant) for variant in range(2)]
    run(store, *stages, warm=False)
    cold = {stage.id: dict(store.stage(stage.id).status.digests) for stage in stages}
    assert [company(store, stage) for stage in stages] == [[1], [1]]
    warm = Store(tmp_path / "warm")
    run(warm, *stages)
    assert {stage.id: dict(warm.stage(stage.id).status.digests) for stage in stages} == cold


def test_a_variant_that_fails_leaves_the_others_to_go_on(store):
    stages = [look_at("a", 0), look_at("a", 1, ends="fail"), look_at("a", 2)]
    outcome, events = run(store, *stages)
    assert [outcome.states[stage.id] for stage in stages] == ["done", "failed", "done"]
    assert [event.data["message"] for event in events if event.what == "failed"] == ["this variant fails on purpose"]
    assert company(store, stages[0]) == [3]


def test_a_variant_that_kills_its_worker_takes_no_other_with_it(store):
    stages = [look_at("a", 0), look_at("a", 1, ends="kill"), look_at("a", 2)]
    outcome, events = run(store, *stages)
    assert [outcome.states[stage.id] for stage in stages] == ["done", "failed", "done"]
    assert [company(store, stage) for stage in stages] == [[3, 1]] * 3
    assert "killed by SIGKILL" in next(event.data["message"] for event in events if event.what == "failed")
    assert store.state(stages[1].id) == "interrupted"
    assert {store.stage(stage.id).status.attempt for stage in stages} == {2}


def test_a_stage_that_others_work_on_is_waited_for_while_its_company_is_done(store):
    stages = [look_at("a", 0), look_at("a", 1)]
    store.write_stage(stages[0].id, stages[0].record)
    lock = StageLock(store.stage_folder(stages[0].id))
    lock.acquire()
    (store.stage_folder(stages[0].id) / "status.json").write_text('{"state": "running"}')
    waited = []

    def watch(event):
        if event.what == "waiting":
            waited.append(event.stage_id)
            lock.release()

    outcome, _ = run(store, *stages, watch=watch)
    assert outcome.exit_status == 0
    assert set(waited) == {stages[0].id}


def test_a_worker_told_to_stop_interrupts_all_it_has(store):
    stages = [look_at("a", 0, ends="wait"), look_at("a", 1, ends="wait")]

    def tell():
        while not (holder := store.has(stages[1].id) and store.stage(stages[1].id).worked_on):
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(holder.pid, signal.SIGTERM)

    teller = threading.Thread(target=tell)
    teller.start()
    outcome, _ = run(store, *stages)
    teller.join()
    assert set(outcome.states.values()) == {"interrupted"}
    assert {store.stage(stage.id)._written().state for stage in stages} == {"interrupted"}, "written down, not only left"


def test_nothing_of_one_stage_reaches_the_next(store):
    """Neither what it left in the process nor the memory it held."""
    small, large = made("dirt", {"megabytes": 1, "n": 0}), made("dirt", {"megabytes": 200, "n": 1})
    after = [made("dirt", {"megabytes": 1, "n": number}) for number in range(2, 4)]
    run(store, small, large, *after, machine=Machine(cores=2, workers=1))
    found = [json.loads((store.stage(stage.id).result / "found.json").read_text()) for stage in (small, large, *after)]
    assert found == [{"left": 0, "variable": None, "threads": 0}] * 4
    before, most, *later = [store.stage(stage.id).status.peak_memory_bytes for stage in (small, large, *after)]
    assert most > before + 150 * 2**20
    assert all(peak < before + 20 * 2**20 for peak in later)


OWN_WORKER = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {{folder!r}}]
from experiments.run import worker
from experiments.stages.kind import Kind
sys.exit(worker.main(sys.argv[1:], kinds={{{{"own": Kind(1, lambda config, split: {{{{}}}}, "own_stage:run")}}}}))
"""


@pytest.mark.parametrize(
    ("file", "usable"), [("own_stage.py", False), ("own_helper.py", False), ("own_unused.py", True), ("own_new.py", True)]
)
def test_a_forkserver_retires_when_code_that_it_has_imported_changes(tmp_path, file, usable):
    """Whatever room the code lies in, and no other: a forkserver costs seconds."""
    (tmp_path / "own_stage.py").write_text("import own_helper\ndef run(ctx): pass\n")
    (tmp_path / "own_helper.py").write_text("A = 1\n")
    (tmp_path / "own_unused.py").write_text("A = 1\n")
    (tmp_path / "worker.py").write_text(OWN_WORKER.format(folder=str(tmp_path)))
    for path in tmp_path.glob("*.py"):
        os.utime(path, (1, 1))
    template = Forkserver([sys.executable, str(tmp_path / "worker.py"), str(tmp_path / "results")], {})
    try:
        _until(lambda: template.usable and template.imported)
        assert {"own_stage.py", "own_helper.py", "attempt.py", "hardware.py"} <= {Path(path).name for path in template.imported}
        assert not [path for path in template.imported if "experiments/cli" in path or "site-packages" in path]
        (tmp_path / file).write_text("A = 2\n")
        assert template.usable is usable
    finally:
        template.close()


def test_code_that_changes_while_it_is_imported_counts_as_changed():
    path = forkserver.__file__
    assert forkserver.imported_code(time.time_ns())[path] == forkserver.stamp(path)
    assert forkserver.imported_code(os.stat(path).st_mtime_ns)[path] != forkserver.stamp(path)


def _until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_template_that_cannot_start_is_a_failure_with_its_last_words(store):
    stage = look_at("a", 0)
    outcome, events = run(store, stage, command=("sh", "-c", "echo no such worker >&2; exit 7"))
    assert outcome.states == {stage.id: "failed"}
    assert [event.data["message"] for event in events if event.what == "failed"] == ["no such worker"]


def test_a_killed_template_is_replaced_and_its_workers_leave(store):
    stages = [fakes.stage("count", seed=seed, steps=30, pause=0.05) for seed in range(2)]

    def kill():
        while not (holder := store.has(stages[0].id) and store.stage(stages[0].id).worked_on):
            time.sleep(0.02)
        parent = int(Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    outcome, _ = run(store, *stages, machine=Machine(cores=2, workers=1))
    killer.join()
    assert [outcome.states[stage.id] for stage in stages] == ["failed", "done"]


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"suppression": "standard"}, True),
        ({"crop": False, "score_threshold": 0.3, "pre_nms_top_k": 7}, True),
        ({"intervention": {"kind": "keep", "m": 2}}, True),
        ({"intervention": {"kind": "padding", "mode": "reflect"}}, False),
        ({"masks": False}, False),
    ],
)
def test_predictions_share_a_network_and_its_images(changed, same):
    inputs = {"train": {"model": {"kind": "yolact"}}}
    one, other = ({"split": "test", "inference": InferenceConfig.from_data(data).to_data()} for data in ({}, changed))
    assert (forward_pass(one, inputs) == forward_pass(other, inputs)) is same
    assert forward_pass(one, inputs) != forward_pass({**one, "split": "val"}, inputs)
    assert forward_pass(one, {"train": {"model": {"kind": "mask_rcnn"}}}) is None
