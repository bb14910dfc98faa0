"""`yolact run`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from experiments.cli.ask.plan import summary
from experiments.cli.ask.submit import submit
from experiments.cli.common import Request, given, plan_options, request
from experiments.cli.progress import Progress
from experiments.cli.resume import resume_option, settle_checkpoints
from experiments.launch.inprocess import InProcess
from experiments.launch.launcher import Launcher
from experiments.launch.pool.pool import Pool
from experiments.launch.pool.resources import Machine
from experiments.launch.slurm.cluster import Cluster, read_cluster
from experiments.store.states import State
from yolact.errors import UserError


@click.command()
@plan_options
@click.option("--launcher", type=click.Choice(["pool", "inprocess", "slurm"]), default="pool", show_default=True,
              help="Worker processes, this process, or jobs of a SLURM cluster.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Maximum number of workers; by default limited by the cores.")
@click.option("--config", type=click.Path(path_type=Path), help="The cluster's file, for --launcher slurm.")
@resume_option
@click.option("--cancel-dropped", is_flag=True, help="With slurm: cancel queued stages that the spec no longer has.")
def run(
    launcher: str, workers: int | None, config: Path | None, cancel_dropped: bool, resume_changed: bool, **options: Any
) -> int:
    """Run a spec: train, predict, measure. Finished stages are not run again.

    Ctrl-C saves what is running; the same command resumes. With slurm the command returns once all stages are submitted.
    Exit status: 0 all done or submitted, 1 a stage failed, 2 the spec or an option is wrong, 130 interrupted.

    \b
    Example:
      yolact run quickstart --scale toy --seeds 0
      yolact run --all --scale toy --seeds 0
      yolact run prototypes --scale small --data path/to/my-data --only k=8
      yolact run prototypes --scale paper --launcher slurm --config cluster.yaml
    """
    cluster = _cluster(launcher, workers, config, cancel_dropped)
    asked = request(**options)
    _keep_records(asked)
    why = asked.reasons()
    console = Console(highlight=False)
    console.print(summary(asked, why), markup=False)
    todo = [stage_id for stage_id in asked.chosen if why[stage_id].runs]
    settle_checkpoints(asked.store, todo, resume_changed, lambda line: console.print(line, style="yellow", markup=False))
    if todo:
        _ensure(asked, console)
    for part in asked.parts:
        asked.store.write_experiment(part.experiment)
    if cluster is not None:
        return submit(asked, cluster, cancel_dropped, console)
    if not todo:
        return 0
    chosen: Launcher = InProcess() if launcher == "inprocess" else Pool(Machine(workers=workers))
    with Progress(asked.plan.title, len(todo), console) as progress:
        outcome = chosen.run(asked.plan, asked.chosen, asked.store, progress)
    _conclude(console, outcome, asked)
    return outcome.exit_status


def _cluster(launcher: str, workers: int | None, config: Path | None, cancel_dropped: bool) -> Cluster | None:
    """The cluster's file for `--launcher slurm`, else None. Raises UserError if options conflict."""
    if launcher != "slurm":
        if config is not None or cancel_dropped:
            raise UserError("--config and --cancel-dropped belong to --launcher slurm; add it, or leave them out")
        return None
    if workers is not None:
        raise UserError("--workers is for processes on this machine; max_parallel in the cluster's file limits jobs")
    if config is None:
        raise UserError("--launcher slurm needs --config cluster.yaml, which says what to ask for; docs/slurm.md shows one")
    return read_cluster(config)


def _keep_records(asked: Request) -> None:
    """Refuse to replace the record of an experiment by that of the same one on another data set."""
    recorded = {record.name: record["data"]["name"] for record in asked.store.experiments()}
    for part in asked.parts:
        name = part.experiment["data"]["name"]
        if recorded.get(part.name, name) != name:
            raise UserError(
                f"{asked.store.root} holds {part.name} on data set {recorded[part.name]}, and would forget it for {name}; "
                "name another folder with --results"
            )


def _ensure(asked: Request, console: Console) -> None:
    """Check or generate the data. Of several specs, one without its data fails separately, and the others run."""
    for dataset in asked.datasets:
        try:
            dataset.ensure(asked.store.root / "data")
        except UserError as error:
            if not asked.together:
                raise
            console.print(f"going on without: {error}", markup=False)


def _conclude(console: Console, outcome, asked) -> None:
    failed = [stage_id for stage_id, state in outcome.states.items() if state == State.FAILED]
    for stage_id in failed:
        console.print(f"failed: {asked.plan.title(stage_id)} ({asked.store.stage_folder(stage_id)})", markup=False)
    left = sum(state != State.DONE for state in outcome.states.values())
    if left:
        console.print(f"{left} of {len(outcome.states)} stages are not done; the same command resumes them")
    else:
        record = asked.parts[0].experiment
        what = "--all" if asked.together else record["experiment"]
        command = f"yolact report {what} --scale {record['scale']}{given(asked.store.root)}"
        console.print(f"all done; next: {command}", markup=False, soft_wrap=True)
