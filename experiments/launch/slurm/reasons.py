"""SLURM's codes in words: reasons of pending and of ended jobs."""

from __future__ import annotations

import re
from pathlib import Path

from experiments.launch.slurm.query import Answer
from experiments.store.folder import Store
from experiments.store.log import tail
from experiments.store.states import JobState

BLOCKED, TOO_SHORT = 5, 6
"""Exit statuses of `experiments.launch.slurm.job` in addition to those of `experiments.run.worker`."""

_EXITS = {
    1: "the stage failed",
    2: "the stage was not found",
    3: "it was told to stop, and saved",
    4: "another process took the stage over",
    BLOCKED: "a stage it needs is not done",
    TOO_SHORT: "the time limit is too short to get from one checkpoint to the next; raise `time` in the cluster's file",
}
_PENDING = {
    "Resources": "waiting for free resources",
    "Priority": "waiting behind jobs of higher priority",
    "BeginTime": "requeued, starts again within minutes",
    "JobArrayTaskLimit": "waiting for its turn: max_parallel jobs of its array run",
    "Dependency": "waiting for the jobs of other stages",
    "DependencyNeverSatisfied": "the stage it waits for failed",
    "JobHeldUser": "held by the user; release it with scontrol release",
    "JobHeldAdmin": "held by the administrator, or after a failed start",
    "PartitionTimeLimit": "asks for more time than the partition allows",
    "PartitionDown": "the partition is down",
    "ReqNodeNotAvail": "the nodes it asks for are not available",
    "None": "",
}
_MEMORY = re.compile(r"exceeded (?:job )?memory limit|oom.kill|out of memory", re.IGNORECASE)
_TAIL_BYTES = 4096


def why_pending(store: Store, stage_id: str, answer: Answer) -> str:
    """The reason why a job is pending."""
    code = answer.code.strip("()").partition(",")[0]
    waited_for = [needed for needed in store.stage(stage_id).record["inputs"].values() if store.state(needed) != "done"]
    if code in ("Dependency", "None") and waited_for:
        return f"waiting for {', '.join(waited_for)}"
    return _PENDING.get(code, code)


def why_ended(answer: Answer, log: Path) -> tuple[JobState, str]:
    """(state, reason) of an ended job. Without cgroups SLURM reports a job that was killed for its memory only as failed."""
    last = tail(log, _TAIL_BYTES)
    status, _, number = answer.code.partition(":")
    killed = number == "9" or status in ("9", "137")
    if answer.state == JobState.OUT_OF_MEMORY or (
        answer.state == JobState.FAILED and killed and _MEMORY.search("\n".join(last))
    ):
        return JobState.OUT_OF_MEMORY, "killed for its memory; raise `memory` in the cluster's file"
    if answer.state == JobState.FAILED:
        return JobState.FAILED, "killed by SIGKILL" if killed else _of_exit(status, last)
    if answer.state == JobState.CANCELLED and answer.detail == "DependencyNeverSatisfied":
        return JobState.CANCELLED, "the stage it waited for failed"
    if answer.state == JobState.CANCELLED:
        by_user = answer.detail.startswith("by user")
        return JobState.CANCELLED, answer.detail if by_user else "by scancel, or with what it waited for"
    reasons = {
        JobState.TIMED_OUT: "stopped at the time limit before it had saved; raise `time` in the cluster's file",
        JobState.NODE_FAILED: f"its node failed: {answer.node}" if answer.node else "its node failed",
        JobState.PREEMPTED: "preempted and not requeued",
    }
    return answer.state, reasons.get(answer.state, "")


def _of_exit(status: str, last: list[str]) -> str:
    known = _EXITS.get(int(status)) if status.isdecimal() else None
    lines = [line.strip() for line in last if not line.startswith(("srun:", "slurmstepd"))]
    if known and status != "1":
        return known
    return lines[-1] if lines else known or f"exit status {status}"
