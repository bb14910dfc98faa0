"""The cluster's file: what to ask SLURM for. None of it enters a stage's id."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from experiments.spec.document import Document, read_document
from experiments.stages.table import KINDS
from yolact.config import Config
from yolact.config.base import nearest

Positive = Annotated[int, Field(gt=0)]


class Resources(Config):
    """What one kind of stage asks for where it differs from the rest."""

    partition: str | None = None
    account: str | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    cpus: Positive | None = None
    memory: Annotated[float, Field(gt=0)] | None = None
    time: Positive | None = None
    constraint: str | None = None
    max_parallel: Positive | None = None


class Cluster(Config):
    """`--config cluster.yaml` of `yolact run --launcher slurm`. What is left out is left to SLURM's own defaults."""

    partition: str | None = None
    account: str | None = None
    gpus: Annotated[int, Field(ge=0)] = 1
    """Graphics cards of a job whose stage runs on "cuda"; stages on "cpu" get none."""
    cpus: Positive | None = None
    """Cores of a job; by default the stage's threads and its loader processes, and never fewer."""
    memory: Annotated[float, Field(gt=0)] | None = None
    """Main memory of a job in GiB."""
    time: Positive = 60
    """Time limit of a job in minutes. A training that needs longer saves itself and is queued again."""
    constraint: str | None = None
    """Features that a node must have, as sbatch's --constraint takes them."""
    max_parallel: Positive = 16
    """Most jobs of one array that run at once."""
    save_seconds: Positive = 120
    """How long before the time limit a job is told to save itself."""
    setup: tuple[str, ...] = ()
    """Lines of shell that a job runs first, such as `module load cuda`."""
    kinds: dict[str, Resources] = Field(default_factory=dict)
    """By kind of stage: what differs."""

    def resources(self, kind: str) -> Cluster:
        """The same file with the kind's own values in place."""
        own = self.kinds.get(kind, Resources())
        return self.replace(**{name: value for name, value in own.to_data().items() if value is not None})


def read_cluster(path: Path, kinds: Mapping = KINDS) -> Cluster:
    """Read a cluster's file.

    Raises:
        SpecError: naming file, line and field.
    """
    document = read_document(path)
    cluster = document.parse(Cluster)
    _check(document, cluster, list(kinds))
    return cluster


def _check(document: Document, cluster: Cluster, known: list[str]) -> None:
    for kind in cluster.kinds:
        if kind not in known:
            raise document.error(("kinds", kind), f"kinds: unknown kind of stage {kind!r}{nearest(kind, known)}")
    for kind in ("", *cluster.kinds):
        asked = cluster.resources(kind)
        if asked.time * 60 <= asked.save_seconds:
            place = ("kinds", kind, "time") if kind else ("time",)
            raise document.error(place, f"time: {asked.time} min leave nothing but the {asked.save_seconds} s of save_seconds")
    for number, line in enumerate(cluster.setup):
        if "\n" in line:
            raise document.error(("setup", str(number)), "setup: give each line as an item of its own")
