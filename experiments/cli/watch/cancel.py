"""`yolact cancel`"""

from __future__ import annotations

from pathlib import Path

import click

from experiments.cli.common import results_option
from experiments.launch.slurm.query import SchedulerError
from experiments.launch.slurm.state import cancel as cancel_jobs
from experiments.run import stop as local
from experiments.store.contents import Contents
from experiments.store.folder import StageView, Store


@click.command()
@click.argument("stages", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All stages that run or wait, and launchers on this machine.")
@results_option
def cancel(stages: tuple[str, ...], everything: bool, results: Path) -> None:
    """Stop STAGES that run or wait: SLURM jobs, and workers on this machine. Running trainings save a checkpoint first.

    Predictions of one network run in one worker and stop together; those that were not named are listed. `yolact run` or
    `yolact retry` resumes them. Exit status 1: some could not be stopped.

    \b
    Example:
      yolact cancel train-0123456789abcdef
      yolact cancel --all
    """
    if bool(stages) == everything:
        raise click.UsageError("give stages, or --all")
    store = Store(results)
    contents = Contents(store)
    ids = list(contents.stages) if everything else [contents.view(stage_id).id for stage_id in dict.fromkeys(stages)]
    told, failed = _cancel_jobs(store, ids)
    for stage_id in told:
        click.echo(f"{stage_id}: its job was cancelled")
    running = [contents.stages[stage_id] for stage_id in ids if stage_id not in told]
    unnamed = {view.id: _unnamed(view, contents, ids) for view in running}  # before any process exits
    for view in running:
        failed += not _stop(view, everything, unnamed[view.id])
    if everything and not told and not any(view.worked_on for view in running):
        click.echo("nothing runs or waits")
    if failed:
        raise click.exceptions.Exit(1)


def _cancel_jobs(store: Store, ids: list[str]) -> tuple[list[str], int]:
    """(stages whose jobs were cancelled, 1 if the scheduler refused else 0)."""
    try:
        return cancel_jobs(store, ids), 0
    except SchedulerError as error:
        click.echo(str(error), err=True)
        return [], 1


def _unnamed(view: StageView, contents: Contents, ids: list[str]) -> list[str]:
    """Stages other than `ids` that the same process works on."""
    process = _process(view)
    others = (other for other in contents.stages.values() if other.id not in ids)
    return [] if process is None else [other.id for other in others if _process(other) == process]


def _process(view: StageView) -> tuple[str, int, int] | None:
    holder = view.worked_on
    return None if holder is None else (holder.host, holder.pid, holder.started)


def _stop(view: StageView, everything: bool, unnamed: list[str]) -> bool:
    """Stop a stage's process on this machine, which also stops its `unnamed` stages; return whether the stage is stopped."""
    holder = view.worked_on
    if holder is None:
        if not everything:
            click.echo(f"{view.id}: is {view.state}; nothing works on it")
        return True
    if not local.is_here(holder):
        click.echo(f"{view.id}: process {holder.pid} on {holder.host} works on it; give this command there")
        return False
    launcher = everything and local.stop_launcher(holder)
    if local.stop(holder) or launcher:
        too = f"; it also works on {', '.join(unnamed)}, stopped with it" if unnamed else ""
        leaves = f"save and leave{', and its launcher to end' if launcher else ''}"
        click.echo(f"{view.id}: process {holder.pid} was told to {leaves}{too}")
    return True
