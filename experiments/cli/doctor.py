"""`yolact doctor`"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from experiments.cli.common import results_option

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@results_option
def doctor(results: Path) -> int:
    """Check Python, packages, GPU, disk, data sets, weights and SLURM before a night is spent. Exit status 1: a problem.

    A warning touches some uses only. `yolact data check` looks into the images of a data set.

    \b
    Example:
      yolact doctor
    """
    from experiments.doctor import examine

    levels: Counter[str] = Counter()
    for finding in examine(results):
        levels[finding.level] += 1
        click.echo(f"{click.style(f'{finding.level:<8}', fg=COLOURS[finding.level])} {finding.what}")
        if finding.remedy:
            click.echo(f"         -> {finding.remedy}")
    click.echo(f"{levels['problem']} problems, {levels['warning']} warnings")
    return 1 if levels["problem"] else 0
