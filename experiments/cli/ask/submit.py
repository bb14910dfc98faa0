"""`yolact run --launcher slurm`: submit stages instead of running them."""

from __future__ import annotations

from rich.console import Console

from experiments.cli.common import Request, given
from experiments.launch.launcher import Event
from experiments.launch.slurm.cluster import Cluster
from experiments.launch.slurm.launcher import Slurm
from experiments.launch.slurm.record import unfinished_records
from experiments.launch.slurm.state import cancel, scheduler_states
from experiments.plan.build import Plan
from experiments.store.folder import Store
from experiments.store.states import State


def submit(asked: Request, cluster: Cluster, cancel_dropped: bool, console: Console) -> int:
    """Submit stages that are neither done nor queued, and print a summary; return the exit status.

    Raises:
        UserError: SLURM refuses them.
    """
    submitted: dict[str, str] = {}

    def note(event: Event) -> None:
        submitted[event.stage_id] = event.data["job"].partition("_")[0]

    outcome = Slurm(cluster).run(asked.plan, asked.chosen, asked.store, note)
    queued = sum(state == State.SUBMITTED for state in outcome.states.values()) - len(submitted)
    jobs = ", ".join(sorted(set(submitted.values()), key=int))
    console.print(f"submitted {len(submitted)} stages{f' as jobs {jobs}' if jobs else ''}; {queued} were in the queue already")
    _dropped(asked, cancel_dropped, console)
    console.print(f"follow them with: yolact status {asked.plan.name}{given(asked.store.root)}", soft_wrap=True)
    return outcome.exit_status


def _dropped(asked: Request, cancel_them: bool, console: Console) -> None:
    """Report queued stages that the spec no longer has, and cancel them if `cancel_them`."""
    stages = dropped(asked.plan, asked.store)
    if stages and cancel_them:
        console.print(f"cancelled {len(cancel(asked.store, stages))} stages that {asked.plan.name} no longer has")
    elif stages:
        console.print(f"{len(stages)} queued stages are no longer part of {asked.plan.name}; --cancel-dropped cancels them")


def dropped(plan: Plan, store: Store) -> list[str]:
    """Queued stages that were submitted for this plan's experiment and that no recorded experiment contains any more."""
    named = {stage_id for record in store.experiments() for stage_id in record.stage_ids} | set(plan.stages)
    loose = {i for i, record in unfinished_records(store) if record.experiment == plan.name and i not in named}
    return [i for i, state in scheduler_states(store).items() if i in loose and state.alive] if loose else []
