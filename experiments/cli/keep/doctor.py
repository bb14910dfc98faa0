"""`yolact doctor`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from experiments.cli.common import results_option

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Also check this cluster's file, as for --launcher slurm.")
@results_option
def doctor(results: Path, config: Path | None) -> int:
    """Check Python, packages, GPU, disk, data sets, weights and SLURM before a long run. Exit status 1: a problem.

    A warning affects only some uses. `yolact data check` checks the images of a data set.

    \b
    Example:
      yolact doctor
      yolact doctor --config cluster.yaml
    """
    from experiments.cli.keep.checks import examine

    levels: Counter[str] = Counter()
    for finding in examine(results, config):
        levels[finding.level] += 1
        click.echo(f"{click.style(f'{finding.level:<8}', fg=COLOURS[finding.level])} {finding.what}")
        if finding.remedy:
            click.echo(f"         -> {finding.remedy}")
    click.echo(f"{levels['problem']} problems, {levels['warning']} warnings")
    return 1 if levels["problem"] else 0
