"""How a worker takes part in a stage: as its only process, as the one that leads it, or as one that follows.

Rank 0 alone locks, logs, saves and publishes. The others run the kind's function beside it and write nothing; they learn from
the exchange in every step that rank 0 stops or is gone.
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
    """This process's part of a recorded stage; returns done, failed or interrupted.

    Its rank comes from the environment; see `yolact.training.ranks.ranks_from`.

    Raises:
        RanksError: the processes that were started are not those that the stage was planned for.
        UserError: of a follower, which writes down nothing: what failed.
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
