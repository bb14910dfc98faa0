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
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import provenance
from experiments.atomic import sync_folder, sync_tree, write_json
from experiments.kinds import Interrupted, Kind, StageContext
from experiments.lock import LockLost, StageLock
from experiments.store import StageView, Status, Store, digests, processes
from yolact.errors import UserError
from yolact.ranks import ALONE, Ranks, RanksError


class _Log:
    """log.jsonl, appended line by line from any thread."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "ab")  # noqa: SIM115 - closed by the attempt
        self._lock = threading.Lock()
        if self._file.tell() and not path.read_bytes().endswith(b"\n"):
            self._file.write(b"\n")

    def __call__(self, event: Mapping[str, Any]) -> None:
        line = json.dumps({"time": _now(), **event}, ensure_ascii=False, default=str)
        with self._lock:
            self._file.write(line.encode() + b"\n")
            self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def attempt(
    store: Store,
    stage_id: str,
    kinds: Mapping[str, Kind],
    should_stop: Callable[[], bool],
    on_event=lambda event: None,
    ranks: Ranks = ALONE,
) -> str:
    """Run a recorded stage unless it is done; returns the state it ended in: done, failed or interrupted.

    Where several processes train together, this is for rank 0; the others follow (`experiments.take_part`).

    Raises:
        StageBusy: another living process works on it.
        LockLost: another process took it over while this one was paused; nothing was published.
        StoreError: there is no such stage.
        OSError: not even the failure could be written down (disk full, no permission).
    """
    view = store.stage(stage_id)
    if view.state == "done":
        return "done"
    lock = StageLock(view.folder)
    lock.acquire()
    try:
        return _Attempt(store, view, kinds, lock, should_stop, on_event, ranks).run()
    finally:
        lock.release()


class _Attempt:
    def __init__(self, store: Store, view: StageView, kinds, lock: StageLock, should_stop, on_event, ranks: Ranks) -> None:
        self.store, self.view, self.kinds, self.lock, self.on_event = store, view, kinds, lock, on_event
        self.ranks = ranks
        self.should_stop = lambda: should_stop() or lock.lost.is_set()
        self.before = view.status
        self.started, self.clock = _now(), time.monotonic()

    def run(self) -> str:
        if self.before.state == "done" or self._finish_publishing():
            return "done"
        self._write("running", wall_seconds=self.before.wall_seconds)
        log = _Log(self.view.folder / "log.jsonl")
        try:
            return self._work(log)
        except Interrupted as stop:
            log({"event": "info", "message": f"interrupted: {stop}"})
            self._write("interrupted")
            return "interrupted"
        except LockLost:
            raise
        except Exception as error:
            self._failed(error, log)
            return "failed"
        finally:
            log.close()

    def _work(self, log: _Log) -> str:
        record = self.view.record
        kind = kind_of(self.view, self.kinds)
        self._check_ranks(record)
        output = self._fresh_output()
        try:
            self._write_env(record)
            self._discard_foreign_checkpoint(log)
            kind.load()(context_of(self.store, self.view, kind, output, self._teller(log), self.should_stop, self.ranks))
            self._publish(output)
        finally:
            shutil.rmtree(output, ignore_errors=True)
            with contextlib.suppress(OSError):
                output.parent.rmdir()
        shutil.rmtree(self.view.folder / "checkpoint", ignore_errors=True)
        return "done"

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
        output = self.view.folder / "attempts" / self.lock.token
        output.mkdir(parents=True)
        return output

    def _write_env(self, record: Mapping[str, Any]) -> None:
        provenance.keep_sources(self.store.code_folder)
        precision = record["fields"].get("training", {}).get("precision")
        found = provenance.environment(record["device"], record["threads"], precision)
        with self.lock.held():
            write_json(self.view.folder / "env.json", found)

    def _discard_foreign_checkpoint(self, log: _Log) -> None:
        """A stage resumes with the code it began with, or starts again."""
        folder = self.view.folder / "checkpoint"
        mark = folder / "source.json"
        mine = {"source": provenance.source_digest()}
        if folder.exists() and (not mark.exists() or json.loads(mark.read_text(encoding="utf-8")) != mine):
            log({"event": "warning", "message": "the code has changed since the checkpoint was made: starting again"})
            shutil.rmtree(folder)
        write_json(mark, mine)

    def _teller(self, log: _Log) -> Callable[[Mapping[str, Any]], None]:
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
            self._write("running", digests=made)
            os.rename(output, result)
            sync_folder(self.view.folder)
            self._write("done", digests=made)

    def _finish_publishing(self) -> bool:
        """Whether the attempt before was killed after its result was in place, and only its status was missing."""
        if not self.before.digests or not (self.view.folder / "result").is_dir() or self.view.damaged():
            return False
        if set(digests(self.view.folder / "result")) != set(self.before.digests):
            return False
        with self.lock.held():
            write_json(self.view.folder / "status.json", {**_data(self.before), "state": "done", "finished": _now()})
        return True

    def _failed(self, error: Exception, log: _Log) -> None:
        details = {"type": type(error).__name__, "message": describe(error), "traceback": traceback.format_exc()}
        with self.lock.held(), contextlib.suppress(OSError):
            log({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self.on_event({"event": "error", "message": f"{details['type']}: {details['message']}"})
        self._write("failed", error=details)

    def _write(self, state: str, **changes: Any) -> None:
        """status.json, unless another process has taken over. `wall_seconds` counts what earlier attempts took."""
        ended = state != "running"
        status = Status(
            state=state,
            started=self.started,
            finished=_now() if ended else None,
            wall_seconds=round((self.before.wall_seconds or 0.0) + time.monotonic() - self.clock, 3),
            peak_memory_bytes=peak_memory_bytes() if ended else None,
            attempt=self.before.attempt + 1,
        )
        with contextlib.nullcontext() if "digests" in changes else self.lock.held():
            write_json(self.view.folder / "status.json", {**_data(status), **changes})


def kind_of(view: StageView, kinds: Mapping[str, Kind]) -> Kind:
    """The kind of a recorded stage, in the version it was recorded with."""
    record = view.record
    kind = kinds.get(record["kind"])
    if kind is None or kind.version != record["version"]:
        raise UserError(
            f"{view.folder}: version {record['version']} of stage kind {record['kind']!r} isn't the one this code "
            "has; plan and run the experiment again"
        )
    return kind


def context_of(
    store: Store,
    view: StageView,
    kind: Kind,
    output: Path,
    log: Callable[[Mapping[str, Any]], None],
    should_stop: Callable[[], bool],
    ranks: Ranks,
) -> StageContext:
    """What the stage's function gets."""
    record = view.record
    location = record["location"]
    return StageContext(
        fields=_with_paths(record["fields"], location["files"]),
        inputs={name: store.stage(record["inputs"][name]).result for name in kind.inputs},
        seed=record["seed"],
        data=location["data"],
        data_id=record["data"],
        data_root=store.root / "data",
        device=record["device"],
        threads=record["threads"],
        workers=location["workers"],
        output=output,
        checkpoint=view.folder / "checkpoint",
        log=log,
        should_stop=should_stop,
        ranks=ranks,
    )


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


def _with_paths(fields: Any, files: Mapping[str, str]) -> Any:
    """The fields with paths in place of the digests that stand for them in the id."""
    if isinstance(fields, dict):
        return {key: _with_paths(value, files) for key, value in fields.items()}
    return files.get(fields, fields) if isinstance(fields, str) else fields


def _data(status: Status) -> dict[str, Any]:
    return {**vars(status), "digests": dict(status.digests)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
