"""What the pool starts at once: cores, memory, cards; and how much it works for that."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from experiments.launch.launcher import Queue
from experiments.launch.pool import batches as batches_module
from experiments.launch.pool import pool as pool_module
from experiments.launch.pool.batches import Batches
from experiments.launch.pool.pool import Pool, _Running
from experiments.launch.pool.resources import Machine, Resources, Share, cards_environment
from experiments.stages.kind import MOST_TOGETHER
from experiments.store.folder import Store
from tests.support.processes import crew_fakes, fakes, sharing_fakes
from tests.support.processes.sharing_fakes import look_at
from yolact.runtime.hardware import visible_cards

EIGHT = tuple(map(str, range(8)))
CARD = Share(1, cards=1)
WHOLE = "GPU 0: A (UUID: GPU-1)"
PARTS = "  MIG 1g Device 0: (UUID: MIG-3)\n  MIG 1g Device 1: (UUID: MIG-4)"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def on_cuda(stage):
    return type(stage)(stage.id, {**stage.content, "device": "cuda"}, stage.location)


@pytest.mark.parametrize(("command", "warm"), [(fakes.WORKER, True), (fakes.WORKER, False)])
def test_eight_cards_carry_eight_stages_each_with_its_own(store, command, warm):
    stages = [on_cuda(fakes.stage("card", seed=seed, company=8)) for seed in range(9)]
    plan, events = fakes.plan_of(*stages), []
    pool = Pool(Machine(cores=64, cards=EIGHT), fakes.KINDS, command, warm)
    assert pool.run(plan, set(plan.stages), store, events.append).exit_status == 0
    running, most = set(), 0
    for event in events:
        running.add(event.stage_id) if event.what == "started" else running.discard(event.stage_id)
        most = max(most, len(running))
    assert most == 8
    found = [json.loads((store.stage(stage.id).result / "card.json").read_text()) for stage in stages]
    assert Counter(one["card"] for one in found).keys() == set(EIGHT)
    for one in found:
        others = [other for other in found if other is not one and other["card"] == one["card"]]
        assert all(other["begun"] >= one["ended"] or other["ended"] <= one["begun"] for other in others)


def test_a_training_by_several_processes_gets_as_many_cards(store):
    pool = Pool(Machine(cores=64, cards=EIGHT), crew_fakes.KINDS)
    stage = on_cuda(crew_fakes.stage(3))
    running = _Running(pool, Queue(fakes.plan_of(stage), {stage.id}, store), store, lambda event: None)
    share = running._share(stage)
    assert share == Share(3, cards=3)
    assert cards_environment(running.resources.take(share)) == {"CUDA_VISIBLE_DEVICES": "0,1,2"}


@pytest.mark.parametrize(
    ("cards", "running", "asked", "fits"),
    [
        (EIGHT, [CARD] * 7, CARD, True),
        (EIGHT, [CARD] * 8, CARD, False),
        (EIGHT, [CARD] * 8, Share(1), True),
        (EIGHT, [Share(1, cards=6)], Share(1, cards=3), False),
        (("0",), [], Share(1, cards=3), True),
        ((), [CARD], CARD, False),
        ((), [CARD], Share(1), True),
        (EIGHT, [CARD], Share(1, cards=1, exclusive=True), False),
        (EIGHT, [Share(1, cards=1, exclusive=True)], CARD, False),
        (EIGHT, [Share(60)], Share(5), False),
        (EIGHT, [Share(1, 600)], Share(1, 500), False),
        (EIGHT, [], Share(100, 5000, 0, True), True),
    ],
)
def test_what_fits(cards, running, asked, fits):
    resources = Resources(Machine(64, 1000, cards))
    taken = [resources.take(share) for share in running]
    assert resources.fits(asked) is fits
    for share, given in zip(running, taken, strict=True):
        resources.give_back(share, given)
    assert resources.idle
    assert len(resources.take(CARD)) == 1


def test_cards_without_names_leave_the_variable_alone():
    assert cards_environment(Resources(Machine(1, None, ())).take(CARD)) == {}
    assert cards_environment(()) == {}


@pytest.mark.parametrize(
    ("variable", "printed", "found"),
    [
        ("0,2", "", ("0", "2")),
        ("", WHOLE, ()),
        ("1,-1,2", "", ("1",)),
        (None, "", ()),
        (None, f"{WHOLE}\nGPU 1: A (UUID: GPU-2)\n", ("GPU-1", "GPU-2")),
        (None, f"{WHOLE}\n{PARTS}\nGPU 1: A (UUID: GPU-2)", ("MIG-3", "MIG-4", "GPU-2")),
    ],
)
def test_visible_cards(tmp_path, monkeypatch, variable, printed, found):
    if printed:
        command = tmp_path / "nvidia-smi"
        command.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if printed else str(tmp_path))
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    assert visible_cards(environment if variable is None else {"CUDA_VISIBLE_DEVICES": variable}) == found


@pytest.fixture
def thousand(store, monkeypatch):
    """A pool with room for one worker, before 1,000 ready predictions; workers never end. And counts of calls."""
    calls = Counter()

    def counted(function, name):
        def call(*arguments, **options):
            calls[name] += 1
            return function(*arguments, **options)

        return call

    stages = [look_at(f"network{number % 100}", number) for number in range(1000)]
    monkeypatch.setattr(batches_module, "batch_key", counted(batches_module.batch_key, "batch_key"))
    monkeypatch.setattr(Resources, "fits", counted(Resources.fits, "fits"))
    monkeypatch.setattr(Queue, "ready", counted(Queue.ready, "ready"))
    monkeypatch.setattr(_Running, "_workers", lambda self, batch, own: None)
    plan = fakes.plan_of(*stages)
    queue = Queue(plan, set(plan.stages), store)
    return _Running(Pool(Machine(cores=2, workers=1), sharing_fakes.KINDS, warm=True), queue, store, lambda event: None), calls


def test_filling_is_linear_in_what_is_ready(thousand):
    running, calls = thousand
    for _ in range(5):
        running._fill()
    assert calls["batch_key"] == 1000, "the key of a stage is computed once"
    assert calls["fits"] == 1, "when no job can start, none is tried"
    assert len(running.jobs) == 1
    assert len(running.jobs[0].batch) == 10


class Endless:
    """Workers that never end; the test does, after some ticks."""

    def __init__(self, ticks):
        self.ticks = iter(range(ticks))

    def poll(self):
        next(self.ticks)

    def signal(self, number):
        pass


def test_a_tick_in_which_nothing_ended_does_nothing(thousand, monkeypatch):
    running, calls = thousand
    monkeypatch.setattr(pool_module, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(pool_module, "record_stages", lambda queue, store: None)
    running._fill()
    calls.clear()
    running.jobs[0].workers = Endless(ticks=20)
    with pytest.raises(StopIteration):
        running.run()
    assert calls == {}


def test_batches_hold_what_shares_work(store):
    stages = [look_at("a", number) for number in range(MOST_TOGETHER + 2)] + [look_at("b", 0), fakes.stage("clock")]
    batches = Batches({stage.id: stage for stage in stages}, sharing_fakes.KINDS, share=True)
    assert [len(batch) for batch in batches.of([stages[-1], *stages[:-1]])] == [MOST_TOGETHER, 2, 1, 1]
    batches.never_again(stages[0])
    assert [len(batch) for batch in batches.of(stages)] == [1, MOST_TOGETHER, 1, 1, 1]
    apart = Batches({stage.id: stage for stage in stages}, sharing_fakes.KINDS, share=False)
    assert [len(batch) for batch in apart.of(stages)] == [1] * len(stages)
