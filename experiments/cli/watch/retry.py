"""`yolact retry`"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from experiments.cli.common import results_option
from experiments.cli.progress import Progress
from experiments.cli.resume import resume_option, settle_checkpoints
from experiments.launch.inprocess import InProcess
from experiments.launch.launcher import Launcher
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.launch.status import stage_statuses
from experiments.plan.recorded import stored_plan
from experiments.store.contents import Contents
from experiments.store.folder import Store, StoreError
from experiments.store.states import State


@click.command()
@click.argument("stages", nargs=-1)
@click.option("--failed", is_flag=True, help="All failed or interrupted stages, and the stages that they blocked.")
@click.option("--launcher", type=click.Choice(["pool", "inprocess"]), default="pool", show_default=True,
              help="Worker processes, or this process.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Maximum number of workers; by default limited by the cores.")
@resume_option
@results_option
def retry(
    stages: tuple[str, ...], failed: bool, launcher: str, workers: int | None, resume_changed: bool, results: Path
) -> int:
    """Run failed or interrupted STAGES again on this machine, and the stages that they blocked. Needs no spec.

    To submit them to SLURM again, use `yolact run` with the spec. Exit status as `yolact run`.

    \b
    Example:
      yolact retry --failed
      yolact retry train-0123456789abcdef
    """
    if bool(stages) == failed:
        raise click.UsageError("give stages, or --failed")
    store = Store(results)
    contents = Contents(store)
    begun = _all_failed(contents) if failed else list(dict.fromkeys(stages))
    done = [stage_id for stage_id in begun if contents.view(stage_id).state == State.DONE]
    if done:
        raise StoreError(f"{', '.join(done)}: done already; to run them again, remove them first with `yolact results rm`")
    console = Console(highlight=False)
    if not begun:
        console.print("nothing has failed")
        return 0
    blocked = [stage_id for stage_id in contents.downstream(begun) if contents.stages[stage_id].state != State.DONE]
    plan = stored_plan(contents, [*begun, *blocked])
    todo = [stage_id for stage_id in plan.stages if contents.stages[stage_id].state != State.DONE]
    console.print(f"{len(begun)} to run again, {len(todo) - len(begun)} with them", markup=False)
    settle_checkpoints(store, todo, resume_changed, lambda line: console.print(line, style="yellow", markup=False))
    chosen: Launcher = InProcess() if launcher == "inprocess" else Pool(Machine(workers=workers))
    with Progress(plan.title, len(todo), console) as progress:
        outcome = chosen.run(plan, set(plan.stages), store, progress)
    return outcome.exit_status


def _all_failed(contents: Contents) -> list[str]:
    found = stage_statuses(contents.store, contents.stages)
    return [stage_id for stage_id, status in found.items() if status.state in (State.FAILED, State.INTERRUPTED)]
