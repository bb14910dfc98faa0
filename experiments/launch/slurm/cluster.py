"""The cluster's file: resources to request from SLURM. No field enters a stage's id."""

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
    """Requests of one kind of stage that differ from the others'."""

    partition: str | None = None
    account: str | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    cpus: Positive | None = None
    memory: Annotated[float, Field(gt=0)] | None = None
    time: Positive | None = None
    constraint: str | None = None
    max_parallel: Positive | None = None


class Cluster(Config):
    """`--config cluster.yaml` of `yolact run --launcher slurm`. SLURM's defaults apply to fields that are left out."""

    partition: str | None = None
    account: str | None = None
    gpus: Annotated[int, Field(ge=0)] = 1
    """GPUs of a job whose stage runs on "cuda"; stages on "cpu" get none."""
    cpus: Positive | None = None
    """Cores of a job; by default the stage's threads and its loader processes, and never fewer."""
    memory: Annotated[float, Field(gt=0)] | None = None
    """Main memory of a job in GiB."""
    time: Positive = 60
    """Time limit of a job in minutes. A training that needs longer saves a checkpoint and is queued again."""
    constraint: str | None = None
    """Required features of a node, in the syntax of sbatch's --constraint."""
    max_parallel: Positive = 16
    """Maximum number of jobs of one array that run at once."""
    save_seconds: Positive = 120
    """Seconds before the time limit at which a job is signalled to save."""
    setup: tuple[str, ...] = ()
    """Shell lines that a job runs first, such as `module load cuda`."""
    kinds: dict[str, Resources] = Field(default_factory=dict)
    """{kind of stage: fields that differ}."""

    def resources(self, kind: str) -> Cluster:
        """A copy with the values of one kind applied."""
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
