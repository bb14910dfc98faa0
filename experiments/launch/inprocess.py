"""Launcher that runs stages one after another in this process: for debugging, and for machines without worker processes."""

from __future__ import annotations

import time
from collections.abc import Mapping

from experiments.launch.launcher import Event, Events, Outcome, Queue, record_stages
from experiments.plan.build import Plan, Stage
from experiments.run.attempt import attempt
from experiments.run.interrupts import Stop, counted_interrupts
from experiments.stages.kind import Kind
from experiments.stages.table import KINDS
from experiments.store.folder import Store
from experiments.store.lease import LockLost, StageBusy
from experiments.store.states import State
from yolact.errors import UserError

WAIT_SECONDS = 1.0


class InProcess:
    """The launcher `--launcher inprocess`."""

    def __init__(self, kinds: Mapping[str, Kind] = KINDS) -> None:
        self.kinds = kinds

    def run(self, plan: Plan, chosen: set[str], store: Store, events: Events) -> Outcome:
        queue = Queue(plan, chosen, store)
        for stage in queue.stages.values():
            if stage.processes > 1 and stage.id not in queue.states:
                raise UserError(
                    f"{stage.id} trains by {stage.processes} processes (runtime.devices × runtime.nodes), the in-process "
                    "launcher has one: use --launcher pool, or set both to 1"
                )
        record_stages(queue, store)
        with counted_interrupts() as stop:
            while not stop and (ready := queue.ready()):
                self._one(queue, ready[0], store, events, stop)
        return queue.outcome(bool(stop))

    def _one(self, queue: Queue, stage: Stage, store: Store, events: Events, stop: Stop) -> None:
        events(Event(stage.id, "started"))

        def tell(data: Mapping) -> None:
            events(Event(stage.id, data.get("event", "info"), data))

        try:
            state = attempt(store, stage.id, self.kinds, lambda: bool(stop), tell)
        except (StageBusy, LockLost) as busy:
            events(Event(stage.id, State.WAITING, {"message": str(busy)}))
            time.sleep(WAIT_SECONDS)
            return
        error = store.stage(stage.id).status.error
        events(Event(stage.id, state, {"message": error["message"]} if error else {}))
        for blocked in queue.end(stage.id, state):
            events(Event(blocked, State.BLOCKED, {"by": stage.id}))
