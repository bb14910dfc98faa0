"""`yolact logs`"""

from __future__ import annotations

import time
from pathlib import Path

import click

from experiments.cli.common import results_option
from experiments.launch.status import event_line
from experiments.store.contents import Contents
from experiments.store.folder import Store, read_events
from experiments.store.states import State

FOLLOW_SECONDS = 0.5


@click.command()
@click.argument("stage")
@click.option(
    "--follow", is_flag=True, help="Print new lines until the stage has ended; Ctrl-C exits without stopping the stage."
)
@results_option
def logs(stage: str, follow: bool, results: Path) -> None:
    """Print the log of STAGE over all its attempts; if it failed, with the traceback at the end.

    \b
    Example:
      yolact logs train-0123456789abcdef --follow
    """
    view = Contents(Store(results)).view(stage)
    offset = 0
    while True:
        going_on = follow and view.state in (State.PLANNED, State.RUNNING)
        events, offset = read_events(view.folder / "log.jsonl", offset)
        for event in events:
            click.echo(event_line(event))
        if not going_on:
            break
        time.sleep(FOLLOW_SECONDS)
    error = view.status.error
    if error:
        click.echo(error.get("traceback") or error["message"])
