"""`yolact table` and `yolact report`: stored results as a table or a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from experiments.cli.common import results_option
from experiments.spec import load_spec, names
from experiments.store import Store

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
@click.argument("experiment", required=False)
@click.option("--all", "every", is_flag=True, help="Of everything that was run at the scale.")
@_SCALE
@results_option
def report(experiment: str | None, every: bool, scale: str, results: Path) -> int:
    """Write the report of EXPERIMENT: a page that opens offline, with figures, tables and where each number comes from.

    It goes to RESULTS/reports/EXPERIMENT-SCALE/index.html and is made from stored results alone; nothing is run. All reports
    hang on RESULTS/reports/index.html, which names what is missing. With --all, exit status 1 if a report failed.

    \b
    Examples:
      yolact report quickstart
      yolact report --all --scale toy
      yolact report prototypes --scale small --results /data/results
    """
    from analysis.overview import write_overview
    from analysis.report import ReportError, make_report

    if every == (experiment is not None):
        raise click.UsageError("name an experiment, such as nms, or give --all")
    recorded = [record["experiment"] for record in Store(results).experiments() if record["scale"] == scale]
    failed = 0
    for name in recorded if experiment is None else [experiment]:
        try:
            click.echo(make_report(results, name, scale, progress=sys.stderr.isatty()))
        except ReportError as error:
            if not every:
                raise
            failed += 1
            click.echo(f"{name}: {error}", err=True)
    overview = write_overview(results, {name: load_spec(name).spec.title for name in names("specs")})
    if every:
        click.echo(overview)
    return 1 if failed else 0
