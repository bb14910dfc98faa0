"""Job arrays of stages, and their dependencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from experiments.plan.build import Plan, Stage
from experiments.plan.estimate import relative_length


@dataclass(frozen=True)
class Array:
    """Stages of one kind and depth that request the same resources: one call of sbatch."""

    kind: str
    depth: int
    """0 if it needs no other unfinished stage."""
    threads: int
    workers: int
    device: str
    nodes: int
    devices: int
    """Processes per node."""
    stages: tuple[Stage, ...]


def arrays_of(plan: Plan, chosen: Iterable[str], unfinished: set[str], largest: int) -> list[Array]:
    """The chosen stages in arrays of at most `largest` elements, inputs first.

    Stages whose inputs are done are in other arrays than those with unfinished inputs. If each element of an array needs one
    element of another array, both have the same order, so that each can wait for its counterpart.
    """
    wanted = set(chosen)
    depths: dict[str, int] = {}
    groups: dict[tuple[int, str, bool, tuple[int, int, str, int, int]], list[Stage]] = {}
    for stage in plan.stages.values():
        depths[stage.id] = 1 + max((depths[needed] for needed in stage.inputs), default=-1)
        if stage.id in wanted:
            waits = any(needed in unfinished for needed in stage.inputs)
            where = stage.location
            shape = (stage.threads, where["workers"], stage.content["device"], where.get("nodes", 1), where.get("devices", 1))
            groups.setdefault((depths[stage.id], stage.kind, waits, shape), []).append(stage)
    arrays: list[Array] = []
    place: dict[str, int] = {}
    for (depth, kind, _, shape), stages in sorted(groups.items()):
        first_input = {stage.id: min((place.get(needed, 0) for needed in stage.inputs), default=0) for stage in stages}
        ordered = sorted(stages, key=lambda stage: (first_input[stage.id], -relative_length(stage)))
        place |= {stage.id: number for number, stage in enumerate(ordered)}
        for first in range(0, len(ordered), largest):
            arrays.append(Array(kind, depth, *shape, tuple(ordered[first : first + largest])))
    return arrays


def dependency(stages: Sequence[Stage], jobs: Mapping[str, str]) -> str | None:
    """sbatch's --dependency of an array with these elements; None if it waits for nothing.

    Args:
        jobs: {stage id: job id} of the stages that wait or run; others are done, or will never be.

    Each element waits for the success of its own inputs if SLURM can express that: all for the same jobs (afterok), or each for
    its counterpart in another array (aftercorr). Otherwise all wait for the end of all, with any outcome (afterany), and each
    job checks its own inputs.
    """
    needs = [tuple(sorted({jobs[needed] for needed in stage.inputs if needed in jobs})) for stage in stages]
    if not any(needs):
        return None
    if len(set(needs)) == 1:
        return f"afterok:{':'.join(needs[0])}"
    other = {need.partition("_")[0] for needed in needs for need in needed}
    if len(other) == 1 and all(needed == (f"{min(other)}_{number}",) for number, needed in enumerate(needs)):
        return f"aftercorr:{min(other)}"
    return f"afterany:{':'.join(sorted({need for needed in needs for need in needed}))}"
