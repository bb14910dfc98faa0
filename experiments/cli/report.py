"""`yolact table` and `yolact report`: stored results as a table or a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from experiments.cli.common import results_option

_EXPERIMENT = click.argument("experiment")
_SCALE = click.option("--scale", default="toy", show_default=True, help="Scale that the experiment was run at.")
_NAMES = {"md": "markdown", "csv": "csv", "latex": "latex", "text": "text"}


@click.command()
@_EXPERIMENT
@_SCALE
@click.option("--format", "form", type=click.Choice(list(_NAMES)), default="text", show_default=True, help="How to write it.")
@results_option
def table(experiment: str, scale: str, form: str, results: Path) -> None:
    """Print the table of EXPERIMENT: ours with spread, changes with intervals, the paper's values beside.

    csv holds every metric unrounded; md, latex and text round.

    \b
    Examples:
      yolact table quickstart
      yolact table nms --scale small --format latex > nms.tex
    """
    from analysis.results import load
    from analysis.writers import render

    click.echo(render(load(results, experiment, scale), _NAMES[form]), nl=False)


@click.command()
@_EXPERIMENT
@_SCALE
@results_option
def report(experiment: str, scale: str, results: Path) -> None:
    """Write the report of EXPERIMENT: a page that opens offline, with figures, tables and where each number comes from.

    It goes to RESULTS/reports/EXPERIMENT-SCALE/index.html and is made from stored results alone; nothing is run.

    \b
    Examples:
      yolact report quickstart
      yolact report prototypes --scale small --results /data/results
    """
    from analysis.report import make_report

    click.echo(make_report(results, experiment, scale, progress=sys.stderr.isatty()))
