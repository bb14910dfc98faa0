"""Batches of ready stages: those that share work go to one worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from experiments.plan.build import Stage
from experiments.plan.sharing import batch_key
from experiments.stages.kind import MOST_TOGETHER, Kind, is_exclusive


class Batches:
    """Groups stages by batch key, which is computed once per stage.

    Args:
        stages: all stages of the launch, by id.
        share: whether stages may share a worker at all.
    """

    def __init__(self, stages: Mapping[str, Stage], kinds: Mapping[str, Kind], share: bool) -> None:
        self._stages, self._kinds, self._share = stages, kinds, share
        self._keys: dict[str, str] = {}

    def of(self, ready: Iterable[Stage]) -> list[list[Stage]]:
        """Batches of at most `MOST_TOGETHER` stages, in the order of their first ones; exclusive stages come last."""
        open_batches: dict[str, list[Stage]] = {}
        found: list[list[Stage]] = []
        for stage in ready:
            key = self._key(stage)
            batch = open_batches.get(key)
            if batch is None or len(batch) == MOST_TOGETHER:
                batch = open_batches[key] = []
                found.append(batch)
            batch.append(stage)
        return sorted(found, key=lambda batch: is_exclusive(self._kinds, batch[0].kind))

    def never_again(self, stage: Stage) -> None:
        """Give the stage a separate worker from now on."""
        self._keys[stage.id] = stage.id

    def _key(self, stage: Stage) -> str:
        if stage.id not in self._keys:
            key = batch_key(stage, self._stages, self._kinds) if self._share else None
            self._keys[stage.id] = stage.id if key is None else key
        return self._keys[stage.id]
