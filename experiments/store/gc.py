"""Removal of stages and leftovers. A stage is removed atomically, by a rename out of `runs/`, and then deleted."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from experiments.store.contents import Contents, size
from experiments.store.folder import StageView, Store, StoreError
from experiments.store.lease import StageBusy, StageLock
from experiments.store.states import State

OLD_SECONDS = 3600.0
"""Minimum age, in seconds, of deleted temporary files outside stage folders; a process may still be writing younger ones."""


@dataclass(frozen=True)
class Leftover:
    """A file or folder that can be deleted."""

    path: Path
    why: str
    bytes: int


def removable(contents: Contents, ids: Iterable[str], downstream: bool, queued: Collection[str] = ()) -> list[str]:
    """The stages that are removed with these, dependants first.

    Args:
        queued: stages in a scheduler's queue, which stay.

    Raises:
        StoreError: one of them doesn't exist, is being worked on, or is what a stage builds on that would stay.
    """
    chosen = [contents.view(stage_id).id for stage_id in dict.fromkeys(ids)]
    above = contents.downstream(chosen)
    kept = [stage_id for stage_id in above if contents.stages[stage_id].state != State.PLANNED]
    if kept and not downstream:
        raise StoreError(
            f"{', '.join(kept)} build{'s' if len(kept) == 1 else ''} on what you want to remove; "
            "give --downstream to remove that too"
        )
    together = {*chosen, *above} if downstream else set(chosen)
    for stage_id in together:
        _refuse_living(contents.stages[stage_id], queued)
    return [*[stage_id for stage_id in reversed(above) if stage_id in together], *chosen]


def remove(store: Store, stage_id: str) -> None:
    """Remove a stage.

    Raises:
        StoreError: a living process works on it.
    """
    folder = store.stage_folder(stage_id)
    lock = StageLock(folder)
    try:
        lock.acquire()
    except StageBusy as busy:
        raise StoreError(f"{busy}; stop it with `yolact cancel {stage_id}` first") from None
    away = store.trash_folder / f"{stage_id}-{secrets.token_hex(4)}"
    away.parent.mkdir(parents=True, exist_ok=True)
    with lock.held():
        os.rename(folder, away)
    lock.forget()
    shutil.rmtree(away)
    with contextlib.suppress(OSError):
        store.trash_folder.rmdir()


def garbage(contents: Contents, queued: Collection[str] = ()) -> tuple[list[str], list[Leftover]]:
    """(stages that no experiment needs, leftovers of dead processes), without stages that are being worked on or queued.

    Args:
        queued: stages in a scheduler's queue.
    """
    needed = set(contents.owners)
    needed |= set(contents.upstream(needed))
    unneeded = [stage_id for stage_id in contents.stages if stage_id not in needed]
    living = {stage_id for stage_id in unneeded if stage_id in queued or contents.stages[stage_id].worked_on}
    living |= set(contents.upstream(living))
    stages = [stage_id for stage_id in unneeded if stage_id not in living]
    snapshots = [] if queued else _old_snapshots(contents.store)
    return stages, [*_leftovers(contents, set(stages)), *snapshots]


def sweep(store: Store, leftovers: Iterable[Leftover]) -> None:
    """Delete leftovers, except in stages that a process has started to work on."""
    for leftover in leftovers:
        if leftover.path.is_relative_to(store.runs_folder):
            folder = store.runs_folder / leftover.path.relative_to(store.runs_folder).parts[0]
            lock = StageLock(folder)
            try:
                lock.acquire()
            except (StageBusy, FileNotFoundError):
                continue
            if leftover.path != lock.path:
                _delete(leftover.path)
            lock.release() if folder.exists() else lock.forget()
        else:
            _delete(leftover.path)


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _leftovers(contents: Contents, going: set[str]) -> Iterator[Leftover]:
    store = contents.store
    for folder in sorted(store.runs_folder.glob("*")) if store.runs_folder.is_dir() else []:
        if folder.is_dir() and folder.name not in going:
            yield from _leftovers_in(folder)
    for folder in (store.trash_folder, store.incoming_folder):
        if folder.is_dir() and (folder == store.trash_folder or _old(folder)):
            yield Leftover(folder, "a removal or a merge that was cut short", size(folder))
    for folder in (store.experiments_folder, store.code_folder):
        for path in sorted(folder.glob(".*.tmp")):
            if _old(path):
                yield Leftover(path, "a file that was never finished", size(path))
    yield from _old_sources(contents, going)


def _leftovers_in(folder: Path) -> Iterator[Leftover]:
    view = StageView(folder)
    if view.worked_on:
        return
    if not (folder / "stage.json").is_file():
        if _old(folder):
            yield Leftover(folder, "not a stage: it has no stage.json", size(folder))
        return
    found = {"attempts": "an attempt that died", "lock": "the lock of a process that died"}
    if view.state == State.DONE:
        found["checkpoint"] = "the checkpoint of a finished stage"
    for name, why in found.items():
        if (folder / name).exists():
            yield Leftover(folder / name, why, size(folder / name))
    for path in view.set_aside:
        yield Leftover(path, "a checkpoint of other code, set aside", size(path))
    for path in sorted([*folder.glob(".*.tmp"), *folder.glob("checkpoint/.*.tmp")]):
        if not (view.state == State.DONE and path.parent.name == "checkpoint"):
            yield Leftover(path, "a file that was never finished", size(path))


def _old_sources(contents: Contents, going: set[str]) -> Iterator[Leftover]:
    """Sources that no stage ran with. A starting stage records its sources shortly after they are written."""
    kept = {view.env.get("code", {}).get("source") for name, view in contents.stages.items() if name not in going}
    for path in sorted(contents.store.code_folder.glob("*.zip")):
        if path.stem not in kept and _old(path):
            yield Leftover(path, "sources that no stage ran with", size(path))


def _old_snapshots(store: Store) -> list[Leftover]:
    found = [path for path in sorted(store.code_folder.glob("snapshot-*")) if _old(path)]
    return [Leftover(path, "code that no queued job needs any more", size(path)) for path in found]


def _refuse_living(view: StageView, queued: Collection[str]) -> None:
    if view.id in queued:
        raise StoreError(f"{view.id} is in SLURM's queue; take it out with `yolact cancel {view.id}` first")
    holder = view.worked_on
    if holder is not None:
        raise StoreError(
            f"{view.id} is being worked on by process {holder.pid} on {holder.host}; "
            f"stop it with `yolact cancel {view.id}` first"
        )


def _old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:
        return False
