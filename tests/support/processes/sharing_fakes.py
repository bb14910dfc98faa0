"""A kind of stage that shares work and needs no torch. Run as a script it is a worker, as `fakes.py`."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # as a script, find the checkout

from experiments.plan.build import Stage
from experiments.plan.ids import stage_id
from experiments.run import worker
from experiments.stages.kind import Ended, Interrupted, Kind, StageContext
from tests.support.processes import fakes
from yolact.errors import UserError
from yolact.runtime.files import write_json, write_text

LEFT_BEHIND: list[str] = []


def look(ctx: StageContext) -> None:
    """Alone."""
    (ended,) = look_together([ctx])
    if ended.error is not None:
        raise ended.error


def look_together(contexts: Sequence[StageContext]) -> list[Ended]:
    """Each writes its variant; with how many others stands in `data_root`. `ends` says fail, kill, or wait to be told."""
    company = contexts[0].data_root
    company.mkdir(parents=True, exist_ok=True)
    for ctx in contexts:
        (company / f"{ctx.checkpoint.parent.name}.{os.getpid()}").write_text(str(len(contexts)))
    return [Ended(_one(ctx), 0.0, 0.0, 0.0) for ctx in contexts]


def _one(ctx: StageContext) -> Exception | None:
    write_text(ctx.output / "found.txt", f"{ctx.fields['variant']}\n")
    match ctx.fields.get("ends"):
        case "fail":
            return UserError("this variant fails on purpose")
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            while not ctx.should_stop():
                time.sleep(0.01)
            return Interrupted("told to stop")
    return None


def dirt(ctx: StageContext) -> None:
    """Writes what it finds of others in its process, then leaves something behind."""
    grown = sum(part.count("x") for part in LEFT_BEHIND)
    write_json(ctx.output / "found.json", {"left": grown, "variable": os.environ.get("YOLACT_TEST_DIRT"), "threads": _tasks()})
    LEFT_BEHIND.append("x" * ctx.fields["megabytes"] * 2**20)
    os.environ["YOLACT_TEST_DIRT"] = "dirty"
    random.seed(1)


def _tasks() -> int:
    """Threads that have more of this process than its main, heartbeat and parent-watching ones."""
    return max(0, len(os.listdir("/proc/self/task")) - 3)


KINDS = {
    **fakes.KINDS,
    "look": Kind(
        1,
        lambda config, split: {},
        f"{__name__}:look",
        together=f"{__name__}:look_together",
        shared=lambda fields, inputs: fields["network"],
    ),
    "dirt": Kind(1, lambda config, split: {}, f"{__name__}:dirt"),
}
WORKER = (sys.executable, str(Path(__file__).resolve()))


def look_at(network: str, variant: int, ends: str = "", threads: int = 1) -> Stage:
    """A stage that shares with others of its network."""
    return made("look", {"network": network, "variant": variant, "ends": ends}, threads)


def made(kind: str, fields: dict, threads: int = 1) -> Stage:
    """A stage of these kinds."""
    content = {"kind": kind, "version": 1, "fields": fields, "inputs": {}, "seed": None}
    content |= {"data": "none", "threads": threads, "device": "cpu"}
    return Stage(stage_id(content), content, {"data": "none", "files": {}, "workers": 0})


if __name__ == "__main__":
    sys.exit(worker.main(sys.argv[1:], kinds=KINDS))
