"""`yolact table` and `yolact report`: stored results as a table or a page."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from analysis.report.notebooks import NOTEBOOKS, PAPER
from experiments.cli.common import results_option
from experiments.spec.schema import load_spec, names
from experiments.store.folder import Store
from yolact.errors import UserError

_EXPERIMENT = click.argument("experiment")
_SCALE = click.option("--scale", default="toy", show_default=True, help="Scale that the experiment was run at.")
_NAMES = {"md": "markdown", "csv": "csv", "latex": "latex", "text": "text"}


@click.command()
@_EXPERIMENT
@_SCALE
@click.option("--format", "form", type=click.Choice(list(_NAMES)), default="text", show_default=True, help="Output format.")
@results_option
def table(experiment: str, scale: str, form: str, results: Path) -> None:
    """Print the table of EXPERIMENT: our values with spread, changes with intervals, and the paper's values.

    csv contains every metric unrounded; md, latex and text round.

    \b
    Examples:
      yolact table quickstart
      yolact table nms --scale small --format latex > nms.tex
    """
    from analysis.results.experiment import load
    from analysis.tables.writers import render

    click.echo(render(load(results, experiment, scale), _NAMES[form]), nl=False)


@click.command()
@click.argument("experiment", required=False)
@click.option("--all", "every", is_flag=True, help="Report everything that was run at the scale, and the paper.")
@click.option("--notebook", type=click.Choice([name for name in NOTEBOOKS if name != PAPER]), default="ablation",
              show_default=True, help="Kind of report.")  # fmt: skip
@click.option(
    "-p", "--parameter", "given", multiple=True, metavar="NAME=VALUE", help="A parameter of the notebook; repeatable."
)
@click.option("--time-limit", "minutes", type=click.FloatRange(min=0, min_open=True), default=20, show_default=True,
              metavar="MINUTES", help="Time limit of each report.")  # fmt: skip
@_SCALE
@results_option
def report(
    experiment: str | None, every: bool, notebook: str, given: tuple[str, ...], minutes: float, scale: str, results: Path
) -> int:
    """Write the report of EXPERIMENT: a page that opens offline, with figures, tables and the origin of each number.

    It is written to RESULTS/reports/EXPERIMENT-SCALE/index.html, or with a notebook other than `ablation` to
    RESULTS/reports/EXPERIMENT-SCALE-NOTEBOOK/. It uses only stored results; nothing is run. EXPERIMENT `paper` puts
    all tables and figures of the paper on one page. RESULTS/reports/index.html links all reports and names what is
    missing. With --all, the exit status is 1 if a report failed.

    \b
    Examples:
      yolact report quickstart
      yolact report learned --notebook prototypes
      yolact report paper --scale toy
      yolact report --all --scale toy
      yolact report prototypes --scale small --results /data/results
    """
    from analysis.report.build import make_report
    from analysis.report.overview import write_overview

    if every == (experiment is not None):
        raise click.UsageError("name an experiment, such as nms, or give --all")
    parameters = _parameters(given)
    store, progress = Store(results), sys.stderr.isatty()
    failed = 0
    for name, kind in _asked(store, scale, notebook) if experiment is None else [_one(experiment, notebook)]:
        try:
            click.echo(make_report(results, name, scale, kind, parameters, minutes, progress))
        except UserError as error:
            if not every:
                raise
            failed += 1
            click.echo(f"{name}: {error}", err=True)
    overview = write_overview(results, {name: load_spec(name).title for name in names("specs")})
    if every:
        click.echo(overview)
    return 1 if failed else 0


def _one(experiment: str, notebook: str) -> tuple[str, str]:
    return (PAPER, PAPER) if experiment == PAPER else (experiment, notebook)


def _asked(store: Store, scale: str, notebook: str) -> list[tuple[str, str]]:
    """(experiment, notebook) for each experiment at a scale that has the notebook's stages; with `ablation` the paper too."""
    wanted = set(NOTEBOOKS[notebook].kinds)
    found = [
        (record["experiment"], notebook)
        for record in store.experiments()
        if record["scale"] == scale and (not wanted or any(wanted & set(run["stages"]) for run in record["runs"]))
    ]
    return [*found, (PAPER, PAPER)] if found and notebook == "ablation" else found


def _parameters(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, sign, _ in pairs:
        if not sign or not name:
            raise click.BadParameter(f"{name!r} is not NAME=VALUE", param_hint="-p")
    return {name: value for name, _, value in pairs}
