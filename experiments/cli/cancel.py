"""`yolact cancel`"""

from __future__ import annotations

from pathlib import Path

import click

from experiments import local
from experiments.cli.common import results_option
from experiments.launch.slurm_query import SchedulerError
from experiments.launch.slurm_state import cancel as cancel_jobs
from experiments.results_view import Contents
from experiments.store import StageView, Store


@click.command()
@click.argument("stages", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All stages that run or wait, and launchers on this machine.")
@results_option
def cancel(stages: tuple[str, ...], everything: bool, results: Path) -> None:
    """Stop STAGES that run or wait: SLURM's jobs, and workers on this machine. What runs saves itself first.

    `yolact run` or `yolact retry` goes on from there. Exit status 1: some could not be stopped.

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
    for view in running:
        failed += not _stop(view, everything)
    if everything and not told and not any(view.worked_on for view in running):
        click.echo("nothing runs or waits")
    if failed:
        raise click.exceptions.Exit(1)


def _cancel_jobs(store: Store, ids: list[str]) -> tuple[list[str], int]:
    """(stages whose jobs were cancelled, 1 where the scheduler refused)"""
    try:
        return cancel_jobs(store, ids), 0
    except SchedulerError as error:
        click.echo(str(error), err=True)
        return [], 1


def _stop(view: StageView, everything: bool) -> bool:
    """Stop a stage's process on this machine; whether there is nothing left to do."""
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
        click.echo(
            f"{view.id}: process {holder.pid} was told to save and leave{', and its launcher to end' if launcher else ''}"
        )
    return True
