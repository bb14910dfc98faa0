"""`yolact status`"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from experiments.cli.common import console as make_console
from experiments.cli.common import results_option
from experiments.progress import duration
from experiments.store import STATES, Store

STYLES = {"done": "green", "running": "blue", "failed": "red", "interrupted": "yellow", "planned": "dim"}


@click.command()
@click.argument("experiment", required=False)
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print the states as JSON.")
def status(experiment: str | None, results: Path, as_json: bool) -> None:
    """What is done, running or failed in a results folder; with EXPERIMENT such as nms-toy, stage by stage.

    \b
    Example:
      yolact status
      yolact status quickstart-toy
    """
    store = Store(results)
    if experiment is None:
        rows = [_counts(store, record) for record in store.experiments()]
        click.echo(json.dumps(rows, indent=2)) if as_json else _overview(store, rows)
        return
    rows = _stages(store, store.experiment(experiment))
    click.echo(json.dumps(rows, indent=2)) if as_json else _detail(rows)


def _counts(store: Store, record: dict[str, Any]) -> dict[str, Any]:
    ids = {stage_id for run in record["runs"] for stage_id in run["stages"].values()}
    counts = Counter(store.state(stage_id) for stage_id in ids)
    name = f"{record['experiment']}-{record['scale']}"
    return {"experiment": name, "data": record["data"]["name"], **{state: counts.get(state, 0) for state in STATES}}


def _overview(store: Store, rows: list[dict[str, Any]]) -> None:
    console = make_console()
    if not rows:
        console.print(f"nothing was run in {store.root} yet; begin with: yolact run quickstart --scale toy --seeds 0")
        return
    table = Table("experiment", "data set", *STATES, box=None, pad_edge=False)
    for row in rows:
        table.add_row(row["experiment"], row["data"], *(str(row[state]) for state in STATES))
    console.print(table)


def _stages(store: Store, record: dict[str, Any]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for run in record["runs"]:
        for kind, stage_id in run["stages"].items():
            owner = f"{run['variant']} seed {run['seed']}"
            if stage_id in rows:
                rows[stage_id]["runs"].append(owner)
            else:
                rows[stage_id] = {"stage": stage_id, "kind": kind, "runs": [owner], **_facts(store, stage_id)}
    return list(rows.values())


def _facts(store: Store, stage_id: str) -> dict[str, Any]:
    if not store.has(stage_id):
        return {"state": "planned", "wall_seconds": None, "error": None, "last": None}
    view = store.stage(stage_id)
    found = view.status
    last = view.log[-1] if found.state in ("running", "interrupted", "failed") and view.log else None
    return {
        "state": found.state,
        "wall_seconds": found.wall_seconds,
        "error": found.error["message"] if found.error else None,
        "last": last,
    }


def _detail(rows: list[dict[str, Any]]) -> None:
    table = Table("stage", "for", "state", "time", "", box=None, pad_edge=False)
    for row in rows:
        more = f" +{len(row['runs']) - 1}" if len(row["runs"]) > 1 else ""
        took = duration(row["wall_seconds"]) if row["wall_seconds"] else ""
        state = f"[{STYLES[row['state']]}]{row['state']}[/]"
        table.add_row(row["stage"], escape(row["runs"][0] + more), state, took, escape(row["error"] or _last(row["last"])))
    make_console().print(table)


def _last(event: dict[str, Any] | None) -> str:
    if not event:
        return ""
    if event.get("event") == "step":
        loss = f", loss {event['loss']:.3f}" if isinstance(event.get("loss"), float) else ""
        return f"at {event.get('iteration')}/{event.get('iterations')}{loss}"
    return str(event.get("message", ""))
