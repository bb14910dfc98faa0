"""Checks before submission: requests against the partition's limits and against measured stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from experiments.launch.slurm.cluster import Cluster
from experiments.launch.slurm.query import PartitionLimits, partition_limits, partitions
from experiments.plan.build import Stage
from experiments.plan.estimate import Estimates
from yolact.config.base import nearest
from yolact.errors import UserError
from yolact.runtime.units import duration, readable_size


def check_partitions(cluster: Cluster, kinds: Iterable[str]) -> None:
    """Refuse requests that the partitions don't allow.

    Raises:
        UserError: naming the field, the request and the partition's limit.
    """
    for problem in missing_partitions(cluster):
        raise UserError(problem)
    known: dict[str | None, PartitionLimits] = {}
    for kind in sorted(set(kinds)):
        asked = cluster.resources(kind)
        if asked.partition not in known:
            known[asked.partition] = partition_limits(asked.partition)
        limits = known[asked.partition]
        if limits.minutes is not None and asked.time > limits.minutes:
            raise UserError(
                f"time: {asked.time} min for {kind} stages, but partition {limits.name} allows {limits.minutes:g}; "
                "ask for less: a training that needs longer saves itself and is queued again"
            )
        if limits.memory_gib is not None and asked.memory is not None and asked.memory > limits.memory_gib:
            raise UserError(
                f"memory: {asked.memory:g} GiB for {kind} stages, but no node of partition {limits.name} has more than "
                f"{limits.memory_gib:.1f}"
            )


def missing_partitions(cluster: Cluster) -> Iterator[str]:
    """A message for each partition in the file that the cluster doesn't have; a job may name several, separated by commas."""
    known = partitions()
    asked = [cluster.partition, *(own.partition for own in cluster.kinds.values())]
    for name in dict.fromkeys(part for names in asked if names for part in names.split(",")):
        if known and name not in known:
            yield f"partition: this cluster has no {name!r}{nearest(name, known)}"


def shortfalls(stages: Iterable[Stage], cluster: Cluster, estimates: Estimates) -> Iterator[tuple[str, str]]:
    """(stage id, warning) of stages that are expected to need more than the requests."""
    for stage in stages:
        asked, expected = cluster.resources(stage.kind), estimates.of(stage)
        if expected.seconds is not None and expected.seconds > asked.time * 60:
            then = "it will save itself and be queued again" if stage.kind == "train" else "it cannot save itself: raise time"
            yield stage.id, f"expected to take {duration(expected.seconds)}, the time limit is {asked.time} min; {then}"
        needed = expected.memory_bytes or 0
        if asked.memory and stage.content["device"] == "cpu" and needed > asked.memory * 2**30:
            yield stage.id, f"expected to need {readable_size(needed)}, memory gives it {asked.memory:g} GiB; raise memory"
