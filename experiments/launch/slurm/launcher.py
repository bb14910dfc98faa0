"""Launcher for SLURM, through submitit: one job array per kind of stage and depth. Submitting returns at once."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.launch.launcher import Event, Events, Outcome, Queue, record_stages
from experiments.launch.slurm.arrays import Array, arrays_of, dependency
from experiments.launch.slurm.cluster import Cluster
from experiments.launch.slurm.limits import check_partitions, shortfalls
from experiments.launch.slurm.query import SchedulerError, largest_array, scancel
from experiments.launch.slurm.record import write_record
from experiments.launch.slurm.snapshot import take_snapshot
from experiments.launch.slurm.state import scheduler_states
from experiments.plan.build import Plan
from experiments.run.worker import THREAD_VARIABLES
from experiments.stages.kind import Kind, is_exclusive
from experiments.stages.table import KINDS
from experiments.store.folder import Store
from experiments.store.states import State
from yolact.errors import UserError

if TYPE_CHECKING:
    from submitit import SlurmExecutor

TIMEOUTS = 1_000_000
"""Number of time limits after which submitit drops a job: never. `experiments.launch.slurm.job` ends jobs without progress."""


@dataclass
class Slurm:
    """The launcher `--launcher slurm`."""

    cluster: Cluster
    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    kinds_from: str = "experiments.stages.table:KINDS"
    """Import path of the kinds in jobs."""

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        """Submit stages that are neither done nor queued; the states of the outcome are "done" and "submitted".

        Raises:
            UserError: the cluster file requests more than a partition allows.
            SchedulerError: SLURM refuses. Accepted jobs are recorded, and the same command resumes.
        """
        _check_installed()
        store = Store(store.root.absolute())
        queue = Queue(plan, chosen, store)
        record_stages(queue, store)
        jobs = _queued(plan, store)
        todo = [stage_id for stage_id in queue.stages if stage_id not in queue.states and stage_id not in jobs]
        if todo:
            check_partitions(self.cluster, [plan.stages[stage_id].kind for stage_id in todo])
            for stage_id, warning in shortfalls([plan.stages[s] for s in todo], self.cluster, queue.estimates):
                events(Event(stage_id, "warning", {"message": warning}))
            code = sorted({name for stage in plan.stages.values() for name in stage.content.get("code", {})})
            snapshot = take_snapshot(store, code)
            for array in arrays_of(plan, todo, {*todo, *jobs}, largest_array()):
                submitted = self._submit(plan.name, array, dependency(array.stages, jobs), store, snapshot)
                jobs |= submitted
                for stage_id, job_id in submitted.items():
                    events(Event(stage_id, State.SUBMITTED, {"job": job_id}))
        states = {stage_id: queue.states.get(stage_id, State.SUBMITTED) for stage_id in queue.stages}
        return Outcome(states)

    def _submit(self, experiment: str, array: Array, waits_for: str | None, store: Store, snapshot: Path) -> dict[str, str]:
        """Submit one array; return {stage id: job id}."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        from experiments.launch.slurm.job import StageJob

        folder = store.root / "slurm" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{array.kind}-{secrets.token_hex(3)}"
        folder.mkdir(parents=True)
        inside = folder.relative_to(store.root).as_posix()
        stages = [StageJob(store.root, stage.id, experiment, inside, self.kinds_from) for stage in array.stages]
        try:
            with _outside_jobs():
                jobs = self._executor(experiment, array, waits_for, folder, snapshot).submit_array(stages)
        except (FailedJobError, FailedSubmissionError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise SchedulerError(f"sbatch refused the {array.kind} stages: {_last_line(error)}") from None
        made = {stage.id: job.job_id for stage, job in zip(array.stages, jobs, strict=True)}
        for stage_id, job_id in made.items():
            write_record(store, stage_id, job_id, experiment, inside)
        return made

    def _executor(self, experiment: str, array: Array, waits_for: str | None, folder: Path, snapshot: Path) -> SlurmExecutor:
        from submitit import SlurmExecutor

        executor = SlurmExecutor(folder, max_num_timeout=TIMEOUTS)
        executor.update_parameters(**self._parameters(experiment, array, waits_for, snapshot))
        return executor

    def _parameters(self, experiment: str, array: Array, waits_for: str | None, snapshot: Path) -> dict[str, Any]:
        """Parameters of submitit's batch script."""
        asked = self.cluster.resources(array.kind)
        cpus = asked.cpus or array.threads + array.workers
        if cpus < array.threads:
            raise UserError(
                f"cpus: {cpus} for {array.kind} stages, which compute with {array.threads} threads; give them as many"
            )
        cards = 0
        if array.device == "cuda":
            cards = array.devices if array.devices > 1 else asked.gpus
        found = {
            "nodes": array.nodes,
            "ntasks_per_node": array.devices,
            "job_name": f"{experiment}:{array.kind}",
            "partition": asked.partition,
            "account": asked.account,
            "constraint": asked.constraint,
            "time": asked.time,
            "cpus_per_task": cpus,
            "gpus_per_node": cards or None,
            "mem": f"{round(asked.memory * 1024)}M" if asked.memory else None,
            "exclusive": True if is_exclusive(self.kinds, array.kind) else None,
            "dependency": waits_for,
            "array_parallelism": asked.max_parallel,
            "signal_delay_s": asked.save_seconds,
            "setup": [*asked.setup, *_environment(snapshot, array.threads)],
            "additional_parameters": {"requeue": True, "kill-on-invalid-dep": "yes"},
            # since SLURM 22.05 a step no longer inherits the job's cores per task
            "srun_args": [f"--cpus-per-task={cpus}", *(["--kill-on-bad-exit=1"] if array.nodes * array.devices > 1 else [])],
        }
        # submitit would book every job on a workload key of its own name
        return {**{name: value for name, value in found.items() if value is not None}, "wckey": None}


def _queued(plan: Plan, store: Store) -> dict[str, str]:
    """{stage id: job id} of the plan's queued stages. Jobs whose dependency can never be satisfied are cancelled first."""
    states = scheduler_states(store)
    jobs: dict[str, str] = {}
    doomed = []
    for stage in plan.stages.values():
        if stage.id in states and states[stage.id].alive:
            hopeful = all(needed in jobs or store.state(needed) == State.DONE for needed in stage.inputs)
            if hopeful:
                jobs[stage.id] = states[stage.id].job_id
            else:
                doomed.append(states[stage.id].job_id)
    if doomed:
        scancel(doomed)
    return jobs


def _environment(snapshot: Path, threads: int) -> list[str]:
    """Shell lines that make a job run the snapshot's code, not that of the submission folder, with `threads` threads."""
    lines = [f"export {name}={threads}" for name in THREAD_VARIABLES]
    code = f'export PYTHONPATH={shlex.quote(str(snapshot))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    return [*lines, "export PYTHONSAFEPATH=1", code]


@contextlib.contextmanager
def _outside_jobs() -> Iterator[None]:
    """Hide the variables of a job that this shell may run in, because sbatch would inherit its limits. SLURM_CONF stays."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("SLURM_") and name != "SLURM_CONF"}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _check_installed() -> None:
    missing = [name for name in ("sbatch", "srun", "squeue", "scancel") if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"--launcher slurm: no {', '.join(missing)} on this machine; run it where SLURM's commands are installed"
        )
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError("--launcher slurm needs submitit; install it with: pip install 'yolact-workbench[slurm]'") from None


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    refused = [line for line in lines if line.startswith("sbatch:")]
    return "; ".join(refused) or (lines[-1] if lines else type(error).__name__)
