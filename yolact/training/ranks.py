"""Where a process stands among those that train one network together. Needs no torch.

torchrun, the worker pool and SLURM's srun tell each process by environment variables; the first two by the same names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from yolact.errors import UserError

_PORTS = range(20_000, 40_000)
"""Where SLURM's jobs meet: the port follows from the job's number."""


class RanksError(UserError):
    """Too few, too many, or wrongly started processes."""


@dataclass(frozen=True)
class Ranks:
    """One process among `size`."""

    rank: int = 0
    """0 .. size - 1. Rank 0 leads: it alone locks, logs, saves and publishes."""
    size: int = 1
    local_rank: int = 0
    """Its place on its own node: chooses its graphics card."""
    address: str = "127.0.0.1"
    """Host name or address of the node of rank 0, where all processes meet."""
    port: int = 0
    served: bool = False
    """Whether the launcher (torchrun) itself serves the meeting place; else rank 0 does."""
    restart: int = 0
    """Counts what the launcher has restarted, so that a new set of processes doesn't read what the old one left."""


ALONE = Ranks()


def ranks_from(environment: Mapping[str, str], processes: int) -> Ranks:
    """This process's place among the `processes` that a stage was planned for.

    Args:
        environment: such as `os.environ`: torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT),
            else srun's (SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_JOB_ID and a node list).
        processes: 1 takes SLURM's variables for those of a job that does other things.

    Raises:
        RanksError: another number of processes was started, or a variable is missing or malformed.
    """
    named = "RANK" in environment and "WORLD_SIZE" in environment
    if processes == 1 and not named:
        return ALONE
    if named:
        found = _by_torchrun(environment)
    elif "SLURM_PROCID" in environment:
        found = _by_slurm(environment)
    else:
        found = ALONE
    if found.size != processes:
        raise RanksError(
            f"planned for {processes} process{'es' if processes > 1 else ''}, started with {found.size}: runtime.devices × "
            f"runtime.nodes must equal the processes. Plan with other values, or start {processes}, as in "
            f"`torchrun --nproc-per-node {processes} -m experiments.run.worker RESULTS STAGE_ID`"
        )
    return found


def _by_torchrun(environment: Mapping[str, str]) -> Ranks:
    size = _number(environment, "WORLD_SIZE")
    if size == 1:
        return ALONE
    return Ranks(
        _number(environment, "RANK"),
        size,
        _number(environment, "LOCAL_RANK"),
        _text(environment, "MASTER_ADDR"),
        _number(environment, "MASTER_PORT"),
        environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        int(environment.get("TORCHELASTIC_RESTART_COUNT", "0")),
    )


def _by_slurm(environment: Mapping[str, str]) -> Ranks:
    size = _number(environment, "SLURM_NTASKS")
    if size == 1:
        return ALONE
    job = _number(environment, "SLURM_JOB_ID")
    nodes = environment.get("SLURM_STEP_NODELIST") or _text(environment, "SLURM_JOB_NODELIST")
    return Ranks(
        _number(environment, "SLURM_PROCID"),
        size,
        _number(environment, "SLURM_LOCALID"),
        environment.get("MASTER_ADDR") or first_node(nodes),
        int(environment.get("MASTER_PORT") or _PORTS[job % len(_PORTS)]),
        restart=int(environment.get("SLURM_RESTART_COUNT", "0")),
    )


def first_node(nodes: str) -> str:
    """The first host of SLURM's compact list: `gpu[03-05,9],login` gives `gpu03`."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert first is not None  # the pattern matches the empty string
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first.group())


def _number(environment: Mapping[str, str], name: str) -> int:
    text = _text(environment, name)
    if not text.isdigit():
        raise RanksError(f"environment variable {name} must be a whole number, got {text!r}; it is set by the launcher")
    return int(text)


def _text(environment: Mapping[str, str], name: str) -> str:
    if not environment.get(name):
        raise RanksError(f"environment variable {name} is not set; start processes by torchrun, srun or `yolact run`")
    return environment[name]
