"""Export and merge of results folders: an export is readable on any machine, a merge loses nothing.

Stages appear by a rename and experiment records are written last, so that an interrupted copy can be repeated.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.store.contents import Contents
from experiments.store.durable import sync_tree, write_json
from experiments.store.folder import ExperimentRecord, StageView, Store, StoreError
from experiments.store.lease import StageBusy, StageLock
from experiments.store.states import State

HELD = ("lock", ".guard", "attempts", "job.json", "resume.json")
"""Files of a process that works on a stage here, which are not copied."""


@dataclass
class Merged:
    """Result of a merge."""

    added: list[str] = field(default_factory=list)
    """Stages that weren't here, or weren't done here and were there."""
    same: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    """Stages that are further here than there."""
    skipped: dict[str, str] = field(default_factory=dict)
    """{stage or experiment: why it was left out}"""
    conflicts: dict[str, Path] = field(default_factory=dict)
    """{stage or experiment: the results folder, under conflicts/, that holds theirs}"""
    experiments: list[str] = field(default_factory=list)
    """Experiment records that are new or have new runs."""


def export(store: Store, out: Path, experiments: Iterable[str], progress: Callable[[str], None] = lambda stage_id: None) -> int:
    """Copy experiments into the new results folder `out`: records, stages, the sources they ran with, reports.

    Paths of this machine stay behind; planning there finds the data and continues. Returns the number of stages.

    Raises:
        StoreError: `out` exists, an experiment doesn't, or a result is damaged.
    """
    if out.exists():
        raise StoreError(f"{out}: exists already; choose another folder, or delete it")
    contents = Contents(store)
    chosen = list(experiments)
    ids = list(dict.fromkeys(stage_id for name in chosen for stage_id in contents.stages_of(name)))
    names = {stage_id: store.experiment(name)["data"]["name"] for name in chosen for stage_id in contents.stages_of(name)}
    out.parent.mkdir(parents=True, exist_ok=True)
    with _aside(out) as aside:
        copy = Store(aside)
        for stage_id in ids:
            progress(stage_id)
            _export_stage(contents.stages[stage_id], copy, names[stage_id])
        _copy_sources(store, copy, ids)
        for name in chosen:
            copy.write_experiment(store.experiment(name))
            for report in store.reports(name):
                shutil.copytree(report, copy.report_folder(report.name))
        sync_tree(aside)
    return len(ids)


def merge(other: Store, store: Store, progress: Callable[[str], None] = lambda stage_id: None) -> Merged:
    """Copy another results folder into this one. Neither side loses a result.

    Raises:
        StoreError: `other` is no results folder, or is this one.
    """
    if not other.runs_folder.is_dir() and not other.experiments_folder.is_dir():
        raise StoreError(f"{other.root}: is no results folder; it has neither runs/ nor experiments/")
    if other.root.resolve() == store.root.resolve():
        raise StoreError(f"{other.root}: is the folder to merge into; name another with --results")
    done = Merged()
    for theirs in other.records():
        progress(theirs.id)
        _merge_stage(theirs, store, done)
    shutil.rmtree(store.incoming_folder, ignore_errors=True)
    _copy_sources(other, store, [theirs.id for theirs in other.records()])
    for record in other.experiments():
        _merge_experiment(record, store, done)
    return done


def _export_stage(view: StageView, copy: Store, data: str) -> None:
    """Copy a stage; if a process works on it, only its record."""
    _refuse_damaged(view)
    target = copy.stage_folder(view.id)
    if not view.worked_on:
        shutil.copytree(view.folder, target, ignore=shutil.ignore_patterns(*HELD, "checkpoint*", ".*.tmp"))
    write_json(target / "stage.json", {**view.record, "location": {"data": data, "files": {}, "workers": 0}})


def _merge_stage(theirs: StageView, store: Store, done: Merged) -> None:
    holder = theirs.worked_on
    if holder is not None:
        done.skipped[theirs.id] = f"process {holder.pid} on {holder.host} is working on it there"
        return
    if theirs.state == State.DONE and theirs.damaged():
        done.skipped[theirs.id] = f"damaged there: {', '.join(theirs.damaged())}"
        return
    if not store.has(theirs.id):
        _bring(theirs, store)
        done.added.append(theirs.id)
    elif theirs.state != State.DONE:
        done.kept.append(theirs.id)
    elif store.state(theirs.id) != State.DONE:
        _replace(theirs, store, done)
    elif store.stage(theirs.id).status.digests == theirs.status.digests:
        done.same.append(theirs.id)
    else:
        done.conflicts[theirs.id] = _keep_beside(theirs, store)


def _bring(theirs: StageView, store: Store) -> None:
    """Copy a stage that isn't there yet."""
    store.runs_folder.mkdir(parents=True, exist_ok=True)
    aside = _copied_aside(theirs, store)
    os.rename(aside, store.stage_folder(theirs.id))


def _replace(theirs: StageView, store: Store, done: Merged) -> None:
    """Replace an unfinished stage by a finished one."""
    lock = StageLock(store.stage_folder(theirs.id))
    try:
        lock.acquire()
    except StageBusy as busy:
        done.skipped[theirs.id] = str(busy)
        return
    aside = _copied_aside(theirs, store)
    away = store.trash_folder / f"{theirs.id}-{secrets.token_hex(4)}"
    away.parent.mkdir(parents=True, exist_ok=True)
    with lock.held():
        os.rename(lock.folder, away)
        os.rename(aside, lock.folder)
    lock.forget()
    shutil.rmtree(away)
    done.added.append(theirs.id)


def _keep_beside(theirs: StageView, store: Store) -> Path:
    """Copy a stage to the first results folder under conflicts/ without it, unless one has an equal copy."""
    number = 1
    while store.conflict(number).has(theirs.id):
        if store.conflict(number).stage(theirs.id).status.digests == theirs.status.digests:
            return store.conflict(number).root
        number += 1
    beside = store.conflict(number)
    _bring(theirs, beside)
    shutil.rmtree(beside.incoming_folder, ignore_errors=True)
    return beside.root


def _merge_experiment(theirs: ExperimentRecord, store: Store, done: Merged) -> None:
    """Add an experiment, or unite its runs with ours; if the two differ, copy it to conflicts/."""
    name = theirs.name
    if name not in {record.name for record in store.experiments()}:
        store.write_experiment(theirs)
        done.experiments.append(name)
        return
    ours = store.experiment(name)
    runs = _union(ours["runs"], theirs["runs"])
    if _question(ours) == _question(theirs) and runs is not None:
        if runs != ours["runs"]:
            store.write_experiment({**ours, "runs": runs})
            done.experiments.append(name)
        return
    number = 1
    while name in {record.name for record in store.conflict(number).experiments()}:
        if store.conflict(number).experiment(name) == theirs:
            break
        number += 1
    store.conflict(number).write_experiment(theirs)
    done.conflicts[name] = store.conflict(number).root


def _union(ours: list[Mapping[str, Any]], theirs: list[Mapping[str, Any]]) -> list[Mapping[str, Any]] | None:
    """The runs of both; None if a variant and seed has different stages in each."""
    found = {(run["variant"], run["seed"]): run for run in ours}
    for run in theirs:
        mine = found.setdefault((run["variant"], run["seed"]), run)
        if any(mine["stages"].get(kind, stage_id) != stage_id for kind, stage_id in run["stages"].items()):
            return None
        found[run["variant"], run["seed"]] = {**mine, "stages": {**run["stages"], **mine["stages"]}}
    return list(found.values())


def _question(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("created", "runs")}


def _copied_aside(theirs: StageView, store: Store) -> Path:
    aside = store.incoming_folder / f"{theirs.id}-{secrets.token_hex(4)}"
    shutil.copytree(theirs.folder, aside, ignore=shutil.ignore_patterns(*HELD, ".*.tmp"))
    sync_tree(aside)
    _refuse_damaged(StageView(aside))
    return aside


def _copy_sources(source: Store, target: Store, ids: Iterable[str]) -> None:
    names = {source.stage(stage_id).env.get("code", {}).get("source") for stage_id in ids} - {None}
    for name in sorted(names):
        path = source.code_folder / f"{name}.zip"
        if path.is_file() and not (target.code_folder / path.name).exists():
            target.code_folder.mkdir(parents=True, exist_ok=True)
            with _aside(target.code_folder / path.name) as aside:
                shutil.copyfile(path, aside)


def _refuse_damaged(view: StageView) -> None:
    damaged = view.damaged() if view.state == State.DONE else []
    if damaged:
        files = ", ".join(damaged)
        raise StoreError(
            f"{view.folder / 'result'}: {files}: missing or changed since the stage ended; remove the stage and run it again"
        )


@contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A path beside `path` that is renamed to it at the end, or removed on an error."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield aside
        os.rename(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True) if aside.is_dir() else aside.unlink(missing_ok=True)
        raise
