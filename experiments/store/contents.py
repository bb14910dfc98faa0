"""Contents of a results folder: the owners, dependants and size of each stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from experiments.graph import reach, reversed_arrows
from experiments.store.folder import StageView, Store, StoreError
from yolact.config.base import nearest


@dataclass(frozen=True)
class Owner:
    """A run that a stage is part of."""

    experiment: str
    """`<experiment>-<scale>`"""
    variant: str
    seed: int

    def __str__(self) -> str:
        return f"{self.experiment}:{self.variant}:{self.seed}"


class Contents:
    """Snapshot of a results folder's records; make a new one to include later changes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def stages(self) -> dict[str, StageView]:
        """Every recorded stage by id."""
        return {view.id: view for view in self.store.records()}

    @cached_property
    def owners(self) -> dict[str, list[Owner]]:
        """{stage id: the runs that contain it, from experiment records}; a stage may be unrecorded."""
        found: dict[str, list[Owner]] = {}
        for record in self.store.experiments():
            for run in record["runs"]:
                for stage_id in run["stages"].values():
                    found.setdefault(stage_id, []).append(Owner(record.name, run["variant"], run["seed"]))
        return found

    @cached_property
    def dependants(self) -> dict[str, list[str]]:
        """{stage id: the recorded stages that take it as an input}."""
        return reversed_arrows({view.id: view.record["inputs"].values() for view in self.stages.values()})

    def view(self, stage_id: str) -> StageView:
        """A recorded stage.

        Raises:
            StoreError: the id is unknown; the message names the nearest known one.
        """
        if stage_id not in self.stages:
            hint = nearest(stage_id, list(self.stages)) if len(self.stages) < 50 else "; `yolact results ls` lists them"
            raise StoreError(f"no stage {stage_id!r} under {self.store.root}{hint if self.stages else ', which holds none'}")
        return self.stages[stage_id]

    def experiments_of(self, stage_id: str) -> list[str]:
        """Names of the experiments that a stage is part of."""
        return list(dict.fromkeys(owner.experiment for owner in self.owners.get(stage_id, [])))

    def downstream(self, ids: Iterable[str]) -> list[str]:
        """The recorded stages that build on these, directly or not, without these themselves."""
        return reach(ids, lambda stage_id: self.dependants.get(stage_id, ()))

    def upstream(self, ids: Iterable[str]) -> list[str]:
        """The stages that these build on, directly or not, without these themselves."""
        inputs = {stage_id: view.record["inputs"].values() for stage_id, view in self.stages.items()}
        return reach(ids, lambda stage_id: inputs.get(stage_id, ()))

    def stages_of(self, experiment: str) -> list[str]:
        """Ids of an experiment's recorded stages and of what they build on.

        Raises:
            StoreError: there is no such experiment.
        """
        ids = self.store.experiment(experiment).stage_ids
        return [stage_id for stage_id in [*ids, *self.upstream(ids)] if stage_id in self.stages]


def size(path: Path) -> int:
    """Bytes of a file, or of all files under a folder; files deleted meanwhile count 0."""
    if not path.is_dir() or path.is_symlink():
        return _bytes(path)
    return sum(_bytes(inner) for inner in path.rglob("*") if inner.is_symlink() or not inner.is_dir())


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
