"""`yolact status`"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from experiments.cli.common import console as make_console
from experiments.cli.common import given, results_option
from experiments.launch.slurm.state import PolledScheduler
from experiments.launch.status import StageStatus, stage_statuses
from experiments.store.folder import Store
from experiments.store.states import COLOURS, SHOWN, State
from yolact.runtime.units import duration

_Rows = list[dict[str, Any]]
_Collect = Callable[[], _Rows]
_Show = Callable[[Store, _Rows], RenderableType]
WATCH_SECONDS = 2.0
IDLE_SECONDS = 10.0
"""Idle time after which a watch ends; between two stages nothing runs for a moment."""
_GOING_ON = (State.RUNNING, State.WAITING)


@click.command()
@click.argument("experiment", required=False)
@click.option("--watch", is_flag=True, help="Follow until nothing runs or waits any more; Ctrl-C stops no stage.")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print the states as JSON.")
def status(experiment: str | None, watch: bool, results: Path, as_json: bool) -> int:
    """Show how many stages are done, running, waiting or failed; with EXPERIMENT such as nms-toy, stage by stage.

    For failed stages, the last lines of their logs are shown. For stages submitted to SLURM, the states of their jobs are
    included. Exit status 1: a stage's records are damaged.

    \b
    Example:
      yolact status
      yolact status quickstart-toy --watch
    """
    if watch and as_json:
        raise click.UsageError("--watch and --json don't go together")
    store = Store(results)
    statuses = _Statuses(store)
    collect, show = partial(_counts, statuses), _overview
    if experiment is not None:
        collect, show = partial(_stages, statuses, experiment), _detail
    if watch:
        rows = _watch(store, collect, show)
    else:
        rows = collect()
        click.echo(json.dumps(rows, indent=2)) if as_json else make_console().print(show(store, rows))
    return int(any(row.get("state") == State.DAMAGED or row.get(State.DAMAGED) for row in rows))


def _watch(store: Store, collect: _Collect, show: _Show) -> _Rows:
    """Update the display until nothing runs or waits."""
    if Console().is_terminal:
        with Live(console=Console(highlight=False), auto_refresh=False) as live:
            return _follow(collect, lambda rows: live.update(show(store, rows), refresh=True))
    else:
        return _follow(collect, _Changes(lambda rows: make_console().print(show(store, rows))))


def _follow(collect: _Collect, tell: Callable[[_Rows], None]) -> _Rows:
    last_seen = time.monotonic()
    while True:
        rows = collect()
        tell(rows)
        if _going_on(rows):
            last_seen = time.monotonic()
        elif _all_done(rows) or time.monotonic() - last_seen > IDLE_SECONDS:
            return rows
        time.sleep(WATCH_SECONDS)


class _Statuses:
    """Statuses of stages for one command: SLURM is polled at intervals, and each warning is printed once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._ask = PolledScheduler()
        self._warnings: set[str] = set()

    def of(self, ids: Iterable[str]) -> dict[str, StageStatus]:
        found = stage_statuses(self.store, ids, self.warn, self._ask)
        for each in found.values():
            if each.state == State.DAMAGED:
                self.warn(f"{each.stage} is damaged: {each.error}")
        return found

    def warn(self, message: str) -> None:
        if message not in self._warnings:
            self._warnings.add(message)
            click.echo(message, err=True)


class _Changes:
    """Prints only when a state has changed, for output other than a terminal."""

    def __init__(self, tell: Callable[[_Rows], None]) -> None:
        self.tell = tell
        self.last: list[Any] | None = None

    def __call__(self, rows: _Rows) -> None:
        states = [row.get("state") or [row[state] for state in SHOWN] for row in rows]
        if states != self.last:
            self.last = states
            self.tell(rows)


def _going_on(rows: _Rows) -> bool:
    return any(row.get("state") in _GOING_ON or any(row.get(state) for state in _GOING_ON) for row in rows)


def _all_done(rows: _Rows) -> bool:
    return all(row.get("state", State.DONE) == State.DONE and not row.get(State.PLANNED) for row in rows)


def _counts(statuses: _Statuses) -> _Rows:
    rows = []
    records = statuses.store.experiments()
    ids = {stage_id for record in records for stage_id in record.stage_ids}
    found = statuses.of(ids)
    for record in records:
        counts = Counter(found[stage_id].state for stage_id in record.stage_ids)
        rows.append(
            {"experiment": record.name, "data": record["data"]["name"]} | {str(state): counts[state] for state in SHOWN}
        )
    return rows


def _overview(store: Store, rows: _Rows) -> RenderableType:
    if not rows:
        begin = f"yolact run quickstart --scale toy --seeds 0{given(store.root)}"
        return escape(f"nothing was run in {store.root} yet; begin with: {begin}")
    table = Table("experiment", "data set", *SHOWN, box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["experiment"], row["data"], *(str(row[state]) for state in SHOWN))
    return table


def _stages(statuses: _Statuses, experiment: str) -> _Rows:
    owners: dict[str, dict[str, Any]] = {}
    for run in statuses.store.experiment(experiment)["runs"]:
        for kind, stage_id in run["stages"].items():
            owners.setdefault(stage_id, {"kind": kind, "runs": []})["runs"].append(f"{run['variant']} seed {run['seed']}")
    found = statuses.of(owners)
    return [{"stage": stage_id, **owner, **found[stage_id].to_data()} for stage_id, owner in owners.items()]


def _detail(store: Store, rows: _Rows) -> RenderableType:
    table = Table("stage", "for", "state", "time", "", box=None, pad_edge=False)
    for row in rows:
        more = f" +{len(row['runs']) - 1}" if len(row["runs"]) > 1 else ""
        took = duration(row["wall_seconds"]) if row["wall_seconds"] else ""
        state = f"[{COLOURS[row['state']]}]{row['state']}[/]"
        said = next(iter((row["error"] or row["note"]).splitlines()), "")
        table.add_row(row["stage"], escape(row["runs"][0] + more), state, took, escape(said))
    return Group(table, *(part for row in rows if row["state"] == State.FAILED for part in _account(store, row)))


def _account(store: Store, row: dict[str, Any]) -> list[RenderableType]:
    """Why a stage failed, with the last lines of its log."""
    heading = Text(f"\n{row['stage']} failed: {row['error'] or 'no reason was recorded'}", style="red")
    more = Text(f"  more: yolact logs {row['stage']}{given(store.root)}", style="dim")
    return [heading, *(Text(f"  {line}") for line in row["tail"]), more]
