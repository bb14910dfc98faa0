"""`yolact results`: manage the content of a results folder."""

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
from experiments.launch.slurm.state import queued_stages
from experiments.store import gc as results_remove
from experiments.store import transfer as results_transfer
from experiments.store.contents import Contents, size
from experiments.store.folder import Store, StoreError
from experiments.store.states import STORED, State
from yolact.runtime.units import duration, readable_size


@click.group()
def results() -> None:
    """List, show, remove, clean up, export and merge stored results.

    \b
    Example: yolact results ls
    """


@results.command()
@click.option("--experiment", help="Only stages of this experiment, such as nms-toy.")
@click.option("--state", type=click.Choice([str(name) for name in STORED]), help="Only stages in this state.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@results_option
def ls(experiment: str | None, state: str | None, as_json: bool, results: Path) -> None:
    """List stages by experiment, with state and size.

    \b
    Example:
      yolact results ls
      yolact results ls --experiment nms-toy --state failed
    """
    contents = Contents(Store(results))
    if experiment is not None:
        contents.store.experiment(experiment)
    rows = [_row(contents, stage_id) for stage_id in contents.stages]
    rows = [row for row in rows if (experiment in (None, *row["experiments"])) and state in (None, row["state"])]
    rows.sort(key=lambda row: (row["experiments"][:1] or ["~"], row["stage"]))
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table("stage", "experiment", "state", "size", "time", box=None, pad_edge=False)
    for row in rows:
        took = duration(row["wall_seconds"]) if row["wall_seconds"] else ""
        table.add_row(row["stage"], ", ".join(row["experiments"]) or "none", row["state"], readable_size(row["bytes"]), took)
    console = make_console()
    console.print(table)
    states = ", ".join(f"{count} {name}" for name, count in Counter(row["state"] for row in rows).items())
    console.print(f"{len(rows)} stages, {readable_size(sum(row['bytes'] for row in rows))}{f': {states}' if states else ''}")
    for number in _conflicts(contents.store):
        console.print(
            f"merged from elsewhere and different: yolact results ls --results {contents.store.conflict(number).root}"
        )


@results.command()
@click.argument("stage")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@results_option
def show(stage: str, as_json: bool, results: Path) -> None:
    """Show STAGE: its experiments, inputs and outcome, its files and whether they are intact.

    \b
    Example:
      yolact results show train-0123456789abcdef
    """
    contents = Contents(Store(results))
    found = _details(contents, stage)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        if name == "files":
            click.echo("files:")
            for file in value:
                click.echo(f"  {file['name']:<24} {readable_size(file['bytes']):>9}  {file['sha256'][:16]}  {file['state']}")
        elif isinstance(value, list):
            click.echo(f"{name}: {', '.join(map(str, value)) or 'none'}")
        elif value is not None:
            click.echo(f"{name}: {value}")


@results.command()
@click.argument("stages", nargs=-1, required=True)
@click.option("--downstream", is_flag=True, help="Also remove stages that build on them.")
@click.option("--yes", is_flag=True, help="Remove without confirmation.")
@results_option
def rm(stages: tuple[str, ...], downstream: bool, yes: bool, results: Path) -> None:
    """Remove STAGES. They run again when they are next needed.

    \b
    Example:
      yolact results rm train-0123456789abcdef --downstream
    """
    contents = Contents(Store(results))
    ids = results_remove.removable(contents, stages, downstream, queued_stages(contents.store))
    for stage_id in ids:
        click.echo(f"{stage_id}  {readable_size(size(contents.stages[stage_id].folder))}  {_owners(contents, stage_id)}")
    if not yes:
        click.confirm(f"Remove {len(ids)} stage{'s' * (len(ids) > 1)}?", abort=True)
    for stage_id in ids:
        results_remove.remove(contents.store, stage_id)
    click.echo(f"removed {len(ids)}")


@results.command()
@click.option("--dry-run/--delete", default=True, show_default=True, help="Only list what would be deleted, or delete it.")
@results_option
def gc(dry_run: bool, results: Path) -> None:
    """Delete stages that no experiment refers to, and leftovers of dead processes.

    Stages that a live process works on, and their inputs, are never deleted.

    \b
    Example:
      yolact results gc
      yolact results gc --delete
    """
    contents = Contents(Store(results))
    stages, leftovers = results_remove.garbage(contents, queued_stages(contents.store))
    total = sum(leftover.bytes for leftover in leftovers)
    for stage_id in stages:
        count = size(contents.stages[stage_id].folder)
        total += count
        click.echo(f"{readable_size(count):>9}  {stage_id}: no experiment refers to it")
    for leftover in leftovers:
        click.echo(f"{readable_size(leftover.bytes):>9}  {leftover.path.relative_to(results)}: {leftover.why}")
    if dry_run:
        more = "; delete them with --delete" if stages or leftovers else ""
        click.echo(f"{len(stages)} stages and {len(leftovers)} leftovers, {readable_size(total)}{more}")
        return
    above = contents.downstream(stages)
    for stage_id in [*reversed(above), *(stage_id for stage_id in stages if stage_id not in above)]:
        results_remove.remove(contents.store, stage_id)
    results_remove.sweep(contents.store, leftovers)
    click.echo(f"deleted {len(stages)} stages and {len(leftovers)} leftovers, {readable_size(total)}")


@results.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("experiments", nargs=-1)
@results_option
def export(out: Path, experiments: tuple[str, ...], results: Path) -> None:
    """Copy EXPERIMENTS (all by default) into the new results folder OUT, to be read on another machine.

    Checkpoints and paths of this machine are not copied. On the other machine, give `--results OUT` to any command.

    \b
    Example:
      yolact results export nms-for-the-paper nms-small nms-toy
    """
    store = Store(results)
    names = experiments or tuple(record.name for record in store.experiments())
    if not names:
        raise StoreError(f"nothing was run in {results} yet, so there is nothing to export")
    count = results_transfer.export(store, out, names)
    click.echo(f"{out}: {', '.join(names)}: {count} stages, {readable_size(size(out))}")


@results.command()
@click.argument("other", type=click.Path(path_type=Path))
@results_option
def merge(other: Path, results: Path) -> None:
    """Copy the results folder OTHER into this one. Nothing is lost on either side.

    If both have a finished stage of the same id with different files, ours stays and theirs is stored in a separate results
    folder under conflicts/. Exit status 1: there were such conflicts, or something was left out.

    \b
    Example:
      yolact results merge ../from-the-cluster/results
    """
    done = results_transfer.merge(Store(other), Store(results))
    click.echo(f"{len(done.added)} stages added, {len(done.same)} were here, {len(done.kept)} are further here")
    for name in done.experiments:
        click.echo(f"experiment {name}: its runs are here")
    for name, place in done.conflicts.items():
        click.echo(f"differs: {name}: ours stays, theirs is in {place} (compare: --results {place})")
    for name, why in done.skipped.items():
        click.echo(f"left out: {name}: {why}")
    if done.conflicts or done.skipped:
        raise click.exceptions.Exit(1)


def _row(contents: Contents, stage_id: str) -> dict[str, Any]:
    view = contents.stages[stage_id]
    status = view.status
    return {
        "stage": stage_id,
        "kind": view.kind,
        "experiments": contents.experiments_of(stage_id),
        "state": status.state,
        "bytes": size(view.folder),
        "wall_seconds": status.wall_seconds,
    }


def _details(contents: Contents, stage_id: str) -> dict[str, Any]:
    view = contents.view(stage_id)
    status, env = view.status, view.env
    damaged = view.damaged() if status.state == State.DONE else []
    result = view.folder / "result"
    return {
        "stage": stage_id,
        "folder": str(view.folder),
        "state": status.state,
        "runs": [str(owner) for owner in contents.owners.get(stage_id, [])],
        "builds on": list(view.record["inputs"].values()),
        "built on by": contents.dependants.get(stage_id, []),
        "seed": view.record["seed"],
        "data": view.record["data"],
        "started": status.started,
        "finished": status.finished,
        "time": duration(status.wall_seconds) if status.wall_seconds else None,
        "attempts": status.attempt,
        "peak memory": readable_size(status.peak_memory_bytes) if status.peak_memory_bytes else None,
        "size": readable_size(size(view.folder)),
        "set aside": [f"{path.name}, {readable_size(size(path))}" for path in view.set_aside],
        "resumed across changes": [f"{change['from']} to {change['to']}" for change in env.get("resumed", [])],
        "host": env.get("host"),
        "device": env.get("device_name"),
        "commit": env.get("code", {}).get("commit"),
        "sources": env.get("code", {}).get("source"),
        "error": status.error["message"] if status.error else None,
        "differs": [
            str(contents.store.conflict(number).root)
            for number in _conflicts(contents.store)
            if contents.store.conflict(number).has(stage_id)
        ],
        "files": [
            {"name": name, "bytes": size(result / name), "sha256": digest, "state": "damaged" if name in damaged else "whole"}
            for name, digest in sorted(status.digests.items())
        ],
    }


def _owners(contents: Contents, stage_id: str) -> str:
    return escape(", ".join(map(str, contents.owners.get(stage_id, []))) or "no experiment")


def _conflicts(store: Store) -> list[int]:
    found = (path.name for path in store.conflict(1).root.parent.glob("*") if path.name.isdigit())
    return sorted(int(name) for name in found)
