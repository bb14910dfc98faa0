"""`yolact run`"""

from __future__ import annotations

from typing import Any

import click
from rich.console import Console

from experiments.cli.common import plan_options, request
from experiments.cli.plan import summary
from experiments.launch.base import Launcher
from experiments.launch.inprocess import InProcess
from experiments.launch.pool import Pool
from experiments.progress import Report
from experiments.reasons import reasons


@click.command()
@plan_options
@click.option("--launcher", type=click.Choice(["pool", "inprocess"]), default="pool", show_default=True,
              help="Worker processes, or this process.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), help="Most worker processes; by default as the cores allow.")
def run(launcher: str, workers: int | None, **options: Any) -> int:
    """Run a question: train, predict, measure. What is done already is not done again.

    Ctrl-C saves what is running; the same command goes on from there. Exit status: 0 all done, 1 something failed,
    2 something in the question is wrong, 130 interrupted.

    \b
    Example:
      yolact run quickstart --scale toy --seeds 0
      yolact run prototypes --scale small --data path/to/my-data --only k=8
    """
    asked = request(**options)
    why = reasons(asked.plan, asked.store)
    console = Console(highlight=False)
    console.print(summary(asked, why), markup=False)
    todo = [stage_id for stage_id in asked.chosen if why[stage_id].runs]
    if todo:
        asked.data.ensure(asked.store.root / "data")
    asked.store.write_experiment(asked.plan.experiment)
    if not todo:
        return 0
    chosen: Launcher = InProcess() if launcher == "inprocess" else Pool(workers=workers)
    with Report(asked.plan.title, len(todo), console) as report:
        outcome = chosen.run(asked.plan, asked.chosen, asked.store, report)
    _conclude(console, outcome, asked)
    return outcome.exit_status


def _conclude(console: Console, outcome, asked) -> None:
    failed = [stage_id for stage_id, state in outcome.states.items() if state == "failed"]
    for stage_id in failed:
        console.print(f"failed: {asked.plan.title(stage_id)} ({asked.store.stage_folder(stage_id)})", markup=False)
    left = sum(state != "done" for state in outcome.states.values())
    if left:
        console.print(f"{left} of {len(outcome.states)} stages are not done; the same command goes on from here")
    else:
        record = asked.plan.experiment
        console.print(f"all done; next: yolact report {record['experiment']} --scale {record['scale']}")
