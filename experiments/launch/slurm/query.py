"""Calls of SLURM's commands: squeue, sacct, scontrol, scancel. One call covers many jobs and has a timeout."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from experiments.store.states import JobState
from yolact.errors import UserError

SECONDS = 30.0
"""Timeout of a command in seconds; if the scheduler is down, its commands hang for minutes."""
CLOCKS_DIFFER = timedelta(days=1)
"""Upper bound of the difference between the clocks of the scheduler and the submitting host."""

_STATES = {
    "PENDING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "COMPLETING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SUSPENDED": JobState.SUSPENDED,
    "STOPPED": JobState.SUSPENDED,
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "TIMEOUT": JobState.TIMED_OUT,
    "DEADLINE": JobState.TIMED_OUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "NODE_FAIL": JobState.NODE_FAILED,
    "BOOT_FAIL": JobState.NODE_FAILED,
    "PREEMPTED": JobState.PREEMPTED,
}


class SchedulerError(UserError):
    """SLURM refused, or did not answer."""


@dataclass(frozen=True)
class Answer:
    """SLURM's answer about one job."""

    state: JobState
    code: str = ""
    """Reason of a pending job, exit code such as "1:0" of an ended one."""
    node: str = ""
    detail: str = ""
    """For an ended job: SLURM's reason, or the user who cancelled it."""


def queued(array_ids: Iterable[str]) -> dict[str, Answer]:
    """{job id: answer} of jobs that wait or run.

    Raises:
        SchedulerError: squeue does not answer.
    """
    command = ["squeue", "--noheader", "--array", "--format=%i|%T|%r|%N", f"--jobs={','.join(sorted(array_ids))}"]
    answer = _call(command)
    if answer.returncode and "Invalid job id" not in answer.stderr:
        raise SchedulerError(f"squeue: {answer.stderr.strip()}; is the scheduler up?")
    found = {}
    for job_id, state, reason, node in _rows(answer.stdout, 4):
        found[job_id] = Answer(_word(state), reason, node)
    return found


def ended(array_ids: Iterable[str], since: datetime) -> dict[str, Answer]:
    """{job id: answer} of ended jobs, from accounting, or from the controller's memory if accounting is off or lacks a job.

    Args:
        since: submission time of the earliest job.
    """
    wanted = sorted(array_ids)
    begin = (since - CLOCKS_DIFFER).astimezone().date()  # sacct expects this host's time zone
    command = ["sacct", "--noheader", "--allocations", "--parsable2", f"--starttime={begin.isoformat()}"]
    command += ["--format=JobID,State,ExitCode,NodeList,Reason", f"--jobs={','.join(wanted)}"]
    found: dict[str, Answer] = {}
    for ids, state, code, node, reason in _rows(_call(command).stdout, 5):
        who = state.partition(" by ")[2]
        for job_id in _expand(ids):
            found[job_id] = Answer(_word(state), code, _node(node), f"by user {who}" if who else reason)
    return {**found, **_remembered(wanted)}


def scancel(job_ids: Iterable[str]) -> None:
    """Cancel jobs. Raises SchedulerError if SLURM refuses."""
    answer = _call(["scancel", *job_ids])
    if answer.returncode:
        raise SchedulerError(f"scancel: {answer.stderr.strip()}")


def largest_array() -> int:
    """Maximum number of elements of an array."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", _call(["scontrol", "show", "config"]).stdout)
    return int(found[1]) - 1 if found and int(found[1]) > 1 else 1000


@dataclass(frozen=True)
class PartitionLimits:
    """Limits of a job in a partition; None if unlimited or unknown."""

    name: str
    minutes: float | None = None
    memory_gib: float | None = None
    """Main memory of the partition's largest node."""


def partitions() -> list[str]:
    """Names of the cluster's partitions; [] if sinfo fails."""
    names = _call(["sinfo", "--noheader", "--format=%R"]).stdout.split()
    return list(dict.fromkeys(names))


def partition_limits(name: str | None) -> PartitionLimits:
    """The limits of a partition; of the default one if `name` is None."""
    chosen = [f"--partition={name}"] if name else []
    best = PartitionLimits(name or "default")
    for partition, limit, memory in _rows(_call(["sinfo", "--noheader", *chosen, "--format=%P|%l|%m"]).stdout, 3):
        if name is None and not partition.endswith("*"):
            continue
        size = re.match(r"\d+", memory)
        gib = max(int(size[0]) / 1024 if size else 0.0, best.memory_gib or 0.0) or None
        best = PartitionLimits(partition.rstrip("*"), _minutes(limit), gib)
    return best


def _minutes(limit: str) -> float | None:
    """Parse SLURM's [days-]hours:minutes:seconds, or minutes:seconds, as minutes."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if not match:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * 1440 + hours * 60 + minutes + seconds / 60


def _remembered(array_ids: Sequence[str]) -> dict[str, Answer]:
    """Answers from the controller's memory, which lasts some minutes after a job's end.

    scontrol accepts one id; without an id it shows all jobs.
    """
    found = {}
    one = array_ids if len(array_ids) == 1 else ()
    for line in _call(["scontrol", "--oneliner", "show", "job", *one]).stdout.splitlines():
        fields = dict(re.findall(r"(\S+?)=(\S*)", line))
        array_id = fields.get("ArrayJobId") or fields.get("JobId", "")
        if "JobState" not in fields or array_id not in array_ids:
            continue
        answer = Answer(
            _word(fields["JobState"]), fields.get("ExitCode", ""), _node(fields.get("NodeList", "")), fields.get("Reason", "")
        )
        element = fields.get("ArrayTaskId")
        for job_id in _expand(f"{array_id}_[{element}]" if element else array_id):
            found[job_id] = answer
    return found


def _expand(ids: str) -> list[str]:
    """Expand `12_[0-2,5%4]` to 12_0, 12_1, 12_2, 12_5; other ids stay unchanged."""
    match = re.fullmatch(r"(\d+)_\[([\d,-]+)(?:%\d+)?\]", ids)
    if not match:
        return [ids]
    found = []
    for part in match[2].split(","):
        first, _, last = part.partition("-")
        found += [f"{match[1]}_{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def _word(state: str) -> JobState:
    return _STATES.get(state.partition(" ")[0].rstrip("+"), JobState.FAILED)


def _node(text: str) -> str:
    return "" if text in ("None assigned", "(null)", "None") else text


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == columns:
            yield cells


def _call(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", f"{command[0]} is not installed")
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]} did not answer within {SECONDS:.0f} s; is the scheduler up?") from None
