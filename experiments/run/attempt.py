"""One attempt at a stage: lock, run the kind's function in a folder of its own, publish by renaming.

The order of writes is what makes a crash harmless at any moment. The digests enter status.json before the rename, so that a
process killed between the two leaves a result that the next attempt recognises as whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

from experiments.run import provenance
from experiments.stages.context import context_of, kind_of
from experiments.stages.kind import Ended, Interrupted, Kind, StageContext
from experiments.store.durable import sync_folder, sync_tree, write_json
from experiments.store.folder import Status, Store, digests, processes
from experiments.store.lease import LockLost, StageLock
from experiments.store.log import EventLog, now
from experiments.store.states import State
from yolact.training.ranks import ALONE, Ranks, RanksError


def attempt(
    store: Store,
    stage_id: str,
    kinds: Mapping[str, Kind],
    should_stop: Callable[[], bool],
    on_event=lambda event: None,
    ranks: Ranks = ALONE,
) -> State:
    """Run a recorded stage unless it is done; returns the state it ended in: done, failed or interrupted.

    Where several processes train together, this is for rank 0; the others follow (`experiments.run.ranks`).

    Raises:
        StageBusy: another living process works on it.
        LockLost: another process took it over while this one was paused; nothing was published.
        StoreError: there is no such stage.
        OSError: not even the failure could be written down (disk full, no permission).
    """
    trying = Attempt(store, stage_id, kinds, should_stop, on_event, ranks)
    context = trying.begin()
    if context is None:
        return trying.state
    try:
        trying.kind.load()(context)
    except BaseException as error:
        return trying.end(error)
    return trying.end()


class Attempt:
    """One attempt, for who has the stage's function called: `begin`, and where that gives a context, `end`."""

    def __init__(
        self,
        store: Store,
        stage_id: str,
        kinds: Mapping[str, Kind],
        should_stop: Callable[[], bool],
        on_event=lambda event: None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.store, self.view, self.kinds, self.on_event, self.ranks = store, store.stage(stage_id), kinds, on_event, ranks
        self.lock = StageLock(self.view.folder)
        self.should_stop = lambda: should_stop() or self.lock.lost.is_set()
        self.state = State.PLANNED
        """What it ended in."""
        self._others_seconds = 0.0
        self._shared: dict[str, Any] | None = None
        self._steps = self._run()

    @property
    def kind(self) -> Kind:
        return kind_of(self.view, self.kinds)

    def begin(self) -> StageContext | None:
        """Lock the stage; what its function gets, None where it is over already (`state` says how).

        Raises:
            StageBusy, LockLost, OSError: as `attempt`.
        """
        return self._resume(self._steps.__next__)

    def end(self, error: BaseException | None = None) -> State:
        """Publish what the function has made, or write down the error it ended with; returns the state.

        Raises:
            LockLost, OSError: as `attempt`.
        """
        self._resume(self._steps.__next__ if error is None else lambda: self._steps.throw(error))
        return self.state

    def account(self, ended: Ended, stages: int) -> None:
        """Count only this stage's part of the time that it was worked on together with others."""
        self._others_seconds = ended.others_seconds(stages)
        self._shared = {"stages": stages, "seconds": round(ended.shared_seconds, 3)}

    def _resume(self, step: Callable[[], StageContext]) -> StageContext | None:
        try:
            return step()
        except StopIteration as stop:
            self.state = stop.value
            return None

    def _run(self) -> Generator[StageContext, None, State]:
        if self.view.state == State.DONE:
            return State.DONE
        self.lock.acquire()
        try:
            return (yield from self._locked())
        finally:
            self.lock.release()

    def _locked(self) -> Generator[StageContext, None, State]:
        self.before = self.view.status
        self.started, self.clock = now(), time.monotonic()
        if self.before.state == State.DONE or self._finish_publishing():
            return State.DONE
        self._write(State.RUNNING, wall_seconds=self.before.wall_seconds)
        log = EventLog(self.view.folder / "log.jsonl")
        try:
            return (yield from self._work(log))
        except Interrupted as stop:
            log({"event": "info", "message": f"interrupted: {stop}"})
            self._write(State.INTERRUPTED)
            return State.INTERRUPTED
        except LockLost:
            raise
        except Exception as error:
            self._failed(error, log)
            return State.FAILED
        finally:
            log.close()

    def _work(self, log: EventLog) -> Generator[StageContext, None, State]:
        record = self.view.record
        kind = self.kind
        self._check_ranks(record)
        output = self._fresh_output()
        try:
            self._write_env(record)
            self._discard_foreign_checkpoint(log)
            yield context_of(self.store, self.view, kind, output, self._teller(log), self.should_stop, self.ranks)
            self._publish(output)
        finally:
            shutil.rmtree(output, ignore_errors=True)
            with contextlib.suppress(OSError):
                output.parent.rmdir()
        shutil.rmtree(self.view.folder / "checkpoint", ignore_errors=True)
        return State.DONE

    def _check_ranks(self, record: Mapping[str, Any]) -> None:
        planned = processes(record["location"])
        if self.ranks.size != planned:
            raise RanksError(
                f"{self.view.id} was planned for {planned} processes (runtime.devices × runtime.nodes), and this launcher has "
                f"started {self.ranks.size}; use the worker pool or torchrun, or plan with both set to 1"
            )

    def _fresh_output(self) -> Path:
        """An empty attempts/<token>; what dead attempts left is removed."""
        shutil.rmtree(self.view.folder / "attempts", ignore_errors=True)
        for name in ("status.json", "env.json"):  # none but the lock's holder writes them
            for aside in self.view.folder.glob(f".{name}.*.tmp"):
                aside.unlink(missing_ok=True)
        output = self.view.folder / "attempts" / self.lock.token
        output.mkdir(parents=True)
        return output

    def _write_env(self, record: Mapping[str, Any]) -> None:
        provenance.keep_sources(self.store.code_folder)
        precision = record["fields"].get("training", {}).get("precision")
        found = provenance.environment(record["device"], record["threads"], precision)
        with self.lock.held():
            write_json(self.view.folder / "env.json", found)

    def _discard_foreign_checkpoint(self, log: EventLog) -> None:
        """A stage resumes with the code it began with, or starts again."""
        folder = self.view.folder / "checkpoint"
        mark = folder / "source.json"
        mine = {"source": provenance.source_digest()}
        if folder.exists() and (not mark.exists() or json.loads(mark.read_text(encoding="utf-8")) != mine):
            log({"event": "warning", "message": "the code has changed since the checkpoint was made: starting again"})
            shutil.rmtree(folder)
        write_json(mark, mine)

    def _teller(self, log: EventLog) -> Callable[[Mapping[str, Any]], None]:
        def tell(event: Mapping[str, Any]) -> None:
            log(event)
            self.on_event(event)

        return tell

    def _publish(self, output: Path) -> None:
        sync_tree(output)
        made = digests(output)
        result = self.view.folder / "result"
        with self.lock.held():
            if result.exists():
                shutil.rmtree(result)
            self._write(State.RUNNING, digests=made)
            os.rename(output, result)
            sync_folder(self.view.folder)
            self._write(State.DONE, digests=made)

    def _finish_publishing(self) -> bool:
        """Whether the attempt before was killed after its result was in place, and only its status was missing."""
        if not self.before.digests or not (self.view.folder / "result").is_dir() or self.view.damaged():
            return False
        if set(digests(self.view.folder / "result")) != set(self.before.digests):
            return False
        with self.lock.held():
            write_json(self.view.folder / "status.json", {**_data(self.before), "state": "done", "finished": now()})
        return True

    def _failed(self, error: Exception, log: EventLog) -> None:
        details = {"type": type(error).__name__, "message": describe(error), "traceback": traceback.format_exc()}
        with self.lock.held(), contextlib.suppress(OSError):
            log({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self.on_event({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self._write(State.FAILED, error=details)

    def _write(self, state: State, **changes: Any) -> None:
        """status.json, unless another process has taken over. `wall_seconds` counts what earlier attempts took."""
        ended = state != State.RUNNING
        status = Status(
            state=state,
            started=self.started,
            finished=now() if ended else None,
            wall_seconds=round((self.before.wall_seconds or 0.0) + time.monotonic() - self.clock - self._others_seconds, 3),
            peak_memory_bytes=peak_memory_bytes() if ended else None,
            attempt=self.before.attempt + 1,
            shared=self._shared,
        )
        with contextlib.nullcontext() if "digests" in changes else self.lock.held():
            write_json(self.view.folder / "status.json", {**_data(status), **changes})


def describe(error: BaseException) -> str:
    """An error's message; for files, with the path and the system's reason."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def peak_memory_bytes() -> int:
    """Most memory this process has held: main memory, or that of the graphics card where torch used one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _data(status: Status) -> dict[str, Any]:
    return {**vars(status), "digests": dict(status.digests)}
