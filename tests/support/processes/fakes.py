"""Stage kinds without a network, small enough to be killed hundreds of times, and plans made of them.

Run as a script it is a worker: `python fakes.py RESULTS STAGE_ID`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # as a script, find the checkout

from experiments.plan.build import Plan, Run, Stage
from experiments.plan.ids import stage_id
from experiments.run import worker
from experiments.stages.kind import Interrupted, Kind, StageContext
from tests.support.processes import writes
from yolact.errors import UserError
from yolact.runtime.files import write_json, write_text


def count(ctx: StageContext) -> None:
    """Adds up `steps` numbers, keeping its sum in the checkpoint; says in marks.txt that a step was done."""
    state_file = ctx.checkpoint / "state.json"
    state = json.loads(state_file.read_text()) if state_file.exists() else {"step": 0, "sum": 0}
    while state["step"] < ctx.fields["steps"]:
        time.sleep(ctx.fields.get("pause", 0.0))
        state = {"step": state["step"] + 1, "sum": state["sum"] + (ctx.seed or 0) + state["step"]}
        ctx.log({"event": "step", "iteration": state["step"], "iterations": ctx.fields["steps"], "loss": 1.0})
        write_json(state_file, state)
        if ctx.should_stop():
            raise Interrupted(f"at step {state['step']}")
    for part in range(3):
        write_text(ctx.output / f"part{part}.txt", f"{state['sum']}\n" * 1000)


def double(ctx: StageContext) -> None:
    """Twice the sum of its input."""
    number = int((ctx.inputs["count"] / "part0.txt").read_text().split()[0])
    write_json(ctx.output / "double.json", {"double": 2 * number})


def fail(ctx: StageContext) -> None:
    """Always fails, as a user's error would."""
    raise UserError("this stage fails on purpose")


def fill(ctx: StageContext) -> None:
    """Writes more than there is room for."""
    with open(ctx.output / "large.bin", "wb") as file:
        for _ in range(ctx.fields["megabytes"]):
            file.write(b"x" * 2**20)


def clock(ctx: StageContext) -> None:
    """Notes when it ran, to show that it ran alone."""
    begun = time.time()
    time.sleep(0.2)
    write_json(ctx.output / "clock.json", {"begun": begun, "ended": time.time()})


def card(ctx: StageContext) -> None:
    """Notes which graphics cards it sees; the first `company` stages wait for each other."""
    begun, place = time.time(), ctx.data_root / "cards"
    place.mkdir(parents=True, exist_ok=True)
    (place / ctx.checkpoint.parent.name).touch()
    while len(list(place.iterdir())) < ctx.fields["company"]:
        time.sleep(0.01)
    write_json(ctx.output / "card.json", {"card": os.environ["CUDA_VISIBLE_DEVICES"], "begun": begun, "ended": time.time()})


KINDS = {
    "card": Kind(1, lambda config, split: {}, f"{__name__}:card", seeded=True),
    "count": Kind(1, lambda config, split: {}, f"{__name__}:count", seeded=True),
    "double": Kind(1, lambda config, split: {}, f"{__name__}:double", inputs=("count",)),
    "fail": Kind(1, lambda config, split: {}, f"{__name__}:fail"),
    "after_fail": Kind(1, lambda config, split: {}, f"{__name__}:double", inputs=("fail",)),
    "fill": Kind(1, lambda config, split: {}, f"{__name__}:fill"),
    "clock": Kind(1, lambda config, split: {}, f"{__name__}:clock", exclusive=True),
}
WRITES = "YOLACT_TEST_WRITES"
"""Environment variable: a folder through which `writes` stops a worker in the middle of a write."""
WORKER = (sys.executable, str(Path(__file__).resolve()))


def stage(kind: str, seed: int = 0, inputs: dict[str, str] | None = None, threads: int = 1, **fields) -> Stage:
    """A stage of a fake kind."""
    content = {
        "kind": kind,
        "version": 1,
        "fields": fields,
        "inputs": inputs or {},
        "seed": seed,
        "data": "none",
        "threads": threads,
        "device": "cpu",
    }
    return Stage(stage_id(content), content, {"data": "none", "files": {}, "workers": 0})


def plan_of(*stages: Stage) -> Plan:
    """A plan of these stages, inputs before what needs them; each is a run of its own."""
    runs = tuple(Run(f"variant{index}", 0, {made.kind: made.id}) for index, made in enumerate(stages))
    record = {"experiment": "fake", "scale": "toy", "runs": []}
    return Plan("fake-toy", record, {made.id: made for made in stages}, runs, {})


def chains(count_of: int, steps: int = 5, pause: float = 0.0, begin: int = 0) -> Plan:
    """So many countings, seeds from `begin` on, each with a doubling after it."""
    stages = []
    for seed in range(begin, begin + count_of):
        first = stage("count", seed=seed, steps=steps, pause=pause)
        stages += [first, stage("double", inputs={"count": first.id})]
    return plan_of(*stages)


if __name__ == "__main__":
    if WRITES in os.environ:
        writes.install(Path(os.environ[WRITES]), writes.WORKERS)
    sys.exit(worker.main(sys.argv[1:], kinds=KINDS))
