"""The context that a stage's function gets, made from the stage's record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.spec.tree import replaced
from experiments.stages.kind import Kind, StageContext
from experiments.stages.outside import kind_in
from experiments.store.folder import StageView, Store
from yolact.errors import UserError
from yolact.training.ranks import Ranks


def kind_of(view: StageView, kinds: Mapping[str, Kind]) -> Kind:
    """The kind of a recorded stage, in its recorded version.

    Raises:
        UserError: this code does not have that kind or version.
    """
    record = view.record
    kind = kind_in(kinds, record)
    if kind is None or kind.version != record["version"]:
        raise UserError(
            f"{view.folder}: version {record['version']} of stage kind {record['kind']!r} isn't the one this code "
            "has; plan and run the experiment again"
        )
    return kind


def context_of(
    store: Store,
    view: StageView,
    kind: Kind,
    output: Path,
    log: Callable[[Mapping[str, Any]], None],
    should_stop: Callable[[], bool],
    ranks: Ranks,
) -> StageContext:
    """Make the context of a stage's function."""
    record = view.record
    location = record["location"]
    return StageContext(
        fields=replaced(record["fields"], location["files"]),  # paths in place of the digests that stand for them in the id
        inputs={name: store.stage(record["inputs"][name]).result for name in kind.inputs},
        seed=record["seed"],
        data=location["data"],
        data_id=record["data"],
        data_root=store.root / "data",
        device=record["device"],
        threads=record["threads"],
        workers=location["workers"],
        output=output,
        checkpoint=view.folder / "checkpoint",
        log=log,
        should_stop=should_stop,
        ranks=ranks,
    )
