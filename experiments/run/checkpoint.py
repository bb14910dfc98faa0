"""Checkpoints across changes of the code. No checkpoint is deleted: a stage resumes from it, or it is set aside.

    checkpoint/             state that an unfinished stage resumes from; source.json names the sources that made it
    checkpoint-<digest>/    set aside because the code has changed; `yolact results gc` deletes it
    resume.json             consent to resume with the sources of this digest, from `yolact run --resume-changed`

Differences in comments, docstrings and layout don't count as changes.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.store.durable import sync_folder, write_json
from experiments.store.log import now
from yolact.runtime.files import digest_of_contents

MARK = "source.json"
CONSENT = "resume.json"
SHOWN = 5
"""Maximum number of changed files named in a message."""


@dataclass(frozen=True)
class Change:
    """Difference between the current code and the code that made a checkpoint."""

    source: str
    """Digest of the sources that made it."""
    files: tuple[str, ...] | None
    """Files that differ; None if those sources are no longer kept."""

    def __str__(self) -> str:
        if self.files is None:
            return f"the sources {self.source} that made it are no longer kept"
        more = f" and {len(self.files) - SHOWN} more" if len(self.files) > SHOWN else ""
        return f"{', '.join(self.files[:SHOWN])}{more}"


def change_since(stage: Path, sources: Mapping[str, bytes], kept: Path) -> Change | None:
    """The change of code since a stage's checkpoint was made; None if there is no checkpoint or it may be resumed.

    Args:
        stage: the stage's folder.
        sources: {path: content} of the current code.
        kept: folder with the sources that stages ran with.
    """
    return _change(stage / "checkpoint", sources, kept) if _filled(stage / "checkpoint") else None


def consent(stage: Path, sources: Mapping[str, bytes]) -> None:
    """Record consent to resume the stage with these sources, from its checkpoint or else from the last one set aside."""
    write_json(stage / CONSENT, {"source": digest_of_contents(sources), "time": now()})


def take_up(
    stage: Path, sources: Mapping[str, bytes], kept: Path, log: Callable[[Mapping[str, Any]], None]
) -> list[dict[str, Any]]:
    """Leave in `checkpoint/` only what this code may resume from. Requires the stage's lock.

    Returns:
        The changes of code across which the stage has been resumed by consent, oldest first:
        {"from", "to": digests of sources, "files": what changed or None, "time"}.
    """
    checkpoint, mine = stage / "checkpoint", digest_of_contents(sources)
    agreed = _read(stage / CONSENT).get("source") == mine
    if not _filled(checkpoint):
        shutil.rmtree(checkpoint, ignore_errors=True)
        _bring_back(stage, mine, agreed, log)
    resumed = list(_read(checkpoint / MARK).get("resumed", []))
    change = change_since(stage, sources, kept)
    if change is not None and agreed:
        resumed.append({"from": change.source, "to": mine, "files": change.files, "time": now()})
        log({"event": "warning", "message": f"resuming across a change of the code, by consent: {change}"})
    elif change is not None:
        aside = _set_aside(checkpoint, change.source)
        kept_as = f"it is kept as {aside.name}, and the stage starts again (--resume-changed would resume from it)"
        log({"event": "warning", "message": f"the code has changed since the checkpoint was made ({change}): {kept_as}"})
        resumed = []
        _bring_back(stage, mine, False, log)
    write_json(checkpoint / MARK, {"source": mine, **({"resumed": resumed} if resumed else {})})
    (stage / CONSENT).unlink(missing_ok=True)
    return resumed


def changed_files(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[str, ...]:
    """Files that were added, removed, or changed in more than comments, docstrings and layout."""
    names = sorted({*before, *after})
    return tuple(name for name in names if _code(name, before.get(name)) != _code(name, after.get(name)))


def _change(checkpoint: Path, sources: Mapping[str, bytes], kept: Path) -> Change | None:
    source = str(_read(checkpoint / MARK).get("source", "unknown"))
    if source == digest_of_contents(sources):
        return None
    try:
        with zipfile.ZipFile(kept / f"{source}.zip") as archive:
            files = changed_files({name: archive.read(name) for name in archive.namelist()}, sources)
    except (OSError, zipfile.BadZipFile):
        return Change(source, None)
    return Change(source, files) if files else None


def _set_aside(checkpoint: Path, source: str) -> Path:
    aside, number = checkpoint.with_name(f"checkpoint-{source}"), 1
    while aside.exists():
        number += 1
        aside = checkpoint.with_name(f"checkpoint-{source}-{number}")
    os.rename(checkpoint, aside)
    sync_folder(checkpoint.parent)
    return aside


def _bring_back(stage: Path, mine: str, any_code: bool, log: Callable[[Mapping[str, Any]], None]) -> None:
    """Restore the last checkpoint that was set aside, of this code or, if `any_code`, of any."""
    found = [path for path in stage.glob("checkpoint-*") if any_code or _read(path / MARK).get("source") == mine]
    if found:
        last = max(found, key=lambda path: path.stat().st_mtime_ns)
        os.rename(last, stage / "checkpoint")
        sync_folder(stage)
        log({"event": "info", "message": f"resuming from {last.name}, which was set aside"})


def _filled(checkpoint: Path) -> bool:
    return checkpoint.is_dir() and any(path.name != MARK for path in checkpoint.iterdir())


def _code(name: str, content: bytes | None) -> str | bytes | None:
    """The effective content of a file: for Python, the syntax tree without docstrings and other unused strings."""
    if content is None or not name.endswith(".py"):
        return content
    try:
        return ast.dump(_NoDocstrings().visit(ast.parse(content)))
    except (SyntaxError, ValueError):
        return content


class _NoDocstrings(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _read(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
