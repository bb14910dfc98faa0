"""One attempt at several stages that can share work: each locked, recorded and published by itself, as if it ran alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from experiments.run.attempt import Attempt
from experiments.stages.kind import Ended, Kind, StageContext
from experiments.store.folder import Store
from experiments.store.lease import LockLost, StageBusy
from experiments.store.states import State

T = TypeVar("T")


def attempt_together(
    store: Store, stage_ids: Sequence[str], kinds: Mapping[str, Kind], should_stop: Callable[[], bool]
) -> dict[str, State]:
    """Run recorded stages that share work (`experiments.plan.sharing`); returns the state of each, "busy" where others have it.

    Raises:
        StoreError: a stage is not there.
        OSError: a failure could not even be written down; the other stages were ended as they should.
    """
    trying = {stage_id: Attempt(store, stage_id, kinds, should_stop) for stage_id in stage_ids}
    unwritten: list[OSError] = []
    contexts = {stage_id: _guarded(each.begin, each, unwritten) for stage_id, each in trying.items()}
    begun = [(trying[stage_id], context) for stage_id, context in contexts.items() if context is not None]
    for each, ended in zip([each for each, _ in begun], _work([context for _, context in begun], begun), strict=True):
        if isinstance(ended, Ended):
            each.account(ended, len(begun))
        error = ended.error if isinstance(ended, Ended) else ended
        _guarded(partial(each.end, error), each, unwritten)
    if unwritten:
        raise unwritten[0]
    return {stage_id: each.state for stage_id, each in trying.items()}


def _work(contexts: list[StageContext], begun: list[tuple[Attempt, StageContext]]) -> Sequence[Ended | Exception]:
    """How each ended; an error that meets all of them counts for each."""
    if not begun:
        return []
    try:
        return begun[0][0].kind.load_together()(contexts)
    except Exception as error:
        return [error] * len(begun)


def _guarded(step: Callable[[], T], of: Attempt, unwritten: list[OSError]) -> T | None:
    """What the step returns; where the stage is others', or the disk is full, the other stages go on."""
    try:
        return step()
    except (StageBusy, LockLost):
        of.state = State.BUSY
    except OSError as error:
        unwritten.append(error)
    return None
