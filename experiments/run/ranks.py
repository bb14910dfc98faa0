"""A worker's role in a stage: its only process, rank 0, or another rank.

Only rank 0 locks, logs, saves and publishes. The others run the kind's function in parallel and write nothing. The exchange in
every step shows them that rank 0 stops or is gone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from experiments.run.attempt import attempt
from experiments.stages.context import context_of, kind_of
from experiments.stages.kind import Interrupted, Kind
from experiments.store.folder import StageView, Store, processes
from experiments.store.states import State
from yolact.training.ranks import Ranks, ranks_from


def take_part(store: Store, stage_id: str, kinds: Mapping[str, Kind], should_stop: Callable[[], bool]) -> State:
    """Run this process's part of a recorded stage; return done, failed or interrupted.

    The environment gives the rank; see `yolact.training.ranks.ranks_from`.

    Raises:
        RanksError: the number of processes is not the planned one.
        UserError: in ranks above 0, which record nothing: the failure.
        StageBusy, LockLost, StoreError, OSError: as `attempt`.
    """
    view = store.stage(stage_id)
    ranks = ranks_from(os.environ, processes(view.record["location"]))
    if ranks.rank == 0:
        return attempt(store, stage_id, kinds, should_stop, ranks=ranks)
    return _follow(store, view, kinds, should_stop, ranks)


def _follow(store: Store, view: StageView, kinds: Mapping[str, Kind], should_stop: Callable[[], bool], ranks: Ranks) -> State:
    if view.state == State.DONE:
        return State.DONE
    kind = kind_of(view, kinds)
    nowhere = view.folder / "attempts" / f"rank {ranks.rank}"
    try:
        kind.load()(context_of(store, view, kind, nowhere, lambda event: None, should_stop, ranks))
    except Interrupted:
        return State.INTERRUPTED
    return State.DONE
