"""`yolact doctor`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from experiments.cli.common import results_option

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="A cluster's file to check too, as --launcher slurm takes it.")
@results_option
def doctor(results: Path, config: Path | None) -> int:
    """Check Python, packages, GPU, disk, data sets, weights and SLURM before a night is spent. Exit status 1: a problem.

    A warning touches some uses only. `yolact data check` looks into the images of a data set.

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
