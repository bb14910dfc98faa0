"""One attempt at a stage: lock, run the kind's function in a separate folder, publish by renaming.

The order of writes makes a crash harmless at any moment. The digests are written to status.json before the rename, so that a
process killed between the two leaves a result that the next attempt recognises as complete.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from experiments.run import provenance
from experiments.run.checkpoint import take_up
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
    """Run a recorded stage unless it is done; return its final state: done, failed or interrupted.

    If several processes train together, only rank 0 calls this; for the others see `experiments.run.ranks`.

    Raises:
        StageBusy: another live process works on it.
        LockLost: another process took it over while this one was paused; nothing was published.
        StoreError: the stage does not exist.
        OSError: not even the failure could be recorded (disk full, no permission).
    """
    with Attempt(store, stage_id, kinds, should_stop, on_event, ranks) as trying:
        if trying.context is not None:
            trying.kind.load()(trying.context)
    return trying.state


class Attempt:
    """One attempt at a stage, as a context manager; the block runs the stage's function on `context`.

    Entering locks the stage. Leaving publishes the function's output, or records the error that the block raised.
    Both raise StageBusy, LockLost and OSError as `attempt` does.
    """

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
        self.context: StageContext | None = None
        """Argument of the stage's function; None if the stage has ended already."""
        self.state = State.PLANNED
        """The final state."""
        self.before, self.started, self.clock = Status(), "", 0.0
        self.output = self.view.folder / "attempts" / self.lock.token
        self._others_seconds = 0.0
        self._shared: dict[str, Any] | None = None
        self._cleanup = contextlib.ExitStack()

    @property
    def kind(self) -> Kind:
        return kind_of(self.view, self.kinds)

    def account(self, ended: Ended, stages: int) -> None:
        """Count only this stage's part of the time of its batch."""
        self._others_seconds = ended.others_seconds(stages)
        self._shared = {"stages": stages, "seconds": round(ended.shared_seconds, 3)}

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as cleanup:
            if self.view.state == State.DONE:
                self.state = State.DONE
            else:
                self.lock.acquire(self.should_stop)
                cleanup.callback(self.lock.release)
                self._begin(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        with self._cleanup:
            if self.context is None:
                return False
            self._recorded(lambda: self._finish(error))
        return error is not None

    def _begin(self, cleanup: contextlib.ExitStack) -> None:
        self.before = self.view.status
        self.started, self.clock = now(), time.monotonic()
        if self.before.state == State.DONE or self._finish_publishing():
            self.state = State.DONE
            return
        self._write(State.RUNNING, wall_seconds=self.before.wall_seconds)
        self.log = EventLog(self.view.folder / "log.jsonl")
        cleanup.callback(self.log.close)
        self._recorded(self._prepare)

    def _recorded(self, step: Callable[[], None]) -> None:
        """Run a step; if it raises, record the stage's end and remove the function's output."""
        try:
            try:
                step()
            except BaseException:
                self._remove_output()
                raise
        except Interrupted as stop:
            self.log({"event": "info", "message": f"interrupted: {stop}"})
            self._write(State.INTERRUPTED)
            self.state = State.INTERRUPTED
        except LockLost:
            raise
        except Exception as error:
            self._failed(error)
            self.state = State.FAILED

    def _prepare(self) -> None:
        record = self.view.record
        self._check_ranks(record)
        self._clear()
        sources = provenance.sources_of(self.store, record)
        provenance.keep_sources(self.store.code_folder, sources)
        with self.lock.held():
            resumed = take_up(self.view.folder, sources, self.store.code_folder, self.log)
        self._write_env(record, sources, resumed)
        self.context = context_of(self.store, self.view, self.kind, self.output, self._tell, self.should_stop, self.ranks)

    def _finish(self, error: BaseException | None) -> None:
        if error is not None:
            raise error
        self._publish()
        self._remove_output()
        shutil.rmtree(self.view.folder / "checkpoint", ignore_errors=True)
        self.state = State.DONE

    def _check_ranks(self, record: Mapping[str, Any]) -> None:
        planned = processes(record["location"])
        if self.ranks.size != planned:
            raise RanksError(
                f"{self.view.id} was planned for {planned} processes (runtime.devices × runtime.nodes), and this launcher has "
                f"started {self.ranks.size}; use the worker pool or torchrun, or plan with both set to 1"
            )

    def _clear(self) -> None:
        """Make an empty output folder; remove leftovers of dead attempts."""
        shutil.rmtree(self.view.folder / "attempts", ignore_errors=True)
        for name in ("status.json", "env.json"):  # only the lock's owner writes them
            for aside in self.view.folder.glob(f".{name}.*.tmp"):
                aside.unlink(missing_ok=True)
        self.output.mkdir(parents=True)

    def _remove_output(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.output.parent.rmdir()

    def _write_env(self, record: Mapping[str, Any], sources: Mapping[str, bytes], resumed: list[dict[str, Any]]) -> None:
        precision = record["fields"].get("training", {}).get("precision")
        found = provenance.environment(record["device"], record["threads"], precision, sources)
        with self.lock.held():
            write_json(self.view.folder / "env.json", {**found, **({"resumed": resumed} if resumed else {})})

    def _tell(self, event: Mapping[str, Any]) -> None:
        self.log(event)
        self.on_event(event)

    def _publish(self) -> None:
        sync_tree(self.output)
        made = digests(self.output)
        result = self.view.folder / "result"
        with self.lock.held():
            if result.exists():
                shutil.rmtree(result)
            self._write(State.RUNNING, digests=made)
            os.rename(self.output, result)
            sync_folder(self.view.folder)
            self._write(State.DONE, digests=made)

    def _finish_publishing(self) -> bool:
        """Finish publishing if the previous attempt was killed between rename and status; return whether it was."""
        if not self.before.digests or not (self.view.folder / "result").is_dir() or self.view.damaged():
            return False
        if set(digests(self.view.folder / "result")) != set(self.before.digests):
            return False
        with self.lock.held():
            write_json(self.view.folder / "status.json", {**_data(self.before), "state": "done", "finished": now()})
        return True

    def _failed(self, error: Exception) -> None:
        details = {"type": type(error).__name__, "message": describe(error), "traceback": traceback.format_exc()}
        with self.lock.held(), contextlib.suppress(OSError):
            self.log({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self.on_event({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self._write(State.FAILED, error=details)

    def _write(self, state: State, **changes: Any) -> None:
        """Write status.json, unless another process has taken over. `wall_seconds` includes earlier attempts."""
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
    """Peak memory of this process in bytes: GPU memory if torch used a GPU, else main memory."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _data(status: Status) -> dict[str, Any]:
    return {**vars(status), "digests": dict(status.digests)}
