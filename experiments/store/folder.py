"""The results folder. Only this module defines its layout, which `docs/architecture.md` describes.

Reading: `Store(root).stage(id)` and `.experiment(name)`. Writing is in `experiments/run/attempt.py` and, for records, here.
A stage's result can be opened only when the stage is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from experiments.store.durable import write_json
from experiments.store.lease import Holder, read_holder
from experiments.store.states import STORED, State
from yolact.errors import UserError
from yolact.runtime.files import digest


class StoreError(UserError):
    """The requested object is missing from the results folder or cannot be read."""


@dataclass(frozen=True)
class Status:
    """`status.json` of one stage; the fields of `docs/architecture.md`."""

    state: State = State.PLANNED
    started: str | None = None
    """ISO 8601, UTC: start of the last attempt."""
    finished: str | None = None
    wall_seconds: float | None = None
    """Seconds worked on this stage, over all attempts that ended normally, including its part of shared work."""
    peak_memory_bytes: int | None = None
    attempt: int = 0
    """How often it was started, from 1."""
    error: Mapping[str, str] | None = None
    """{type, message, traceback} if it failed."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """{path under result/: SHA-256 in hex}."""
    shared: Mapping[str, Any] | None = None
    """{stages, seconds}: number of stages that shared its work, and the time of that work."""


class ExperimentRecord(dict[str, Any]):
    """The record of an experiment: its question, and the stages of each variant and seed."""

    @property
    def name(self) -> str:
        """`<experiment>-<scale>`"""
        return f"{self['experiment']}-{self['scale']}"

    @property
    def stage_ids(self) -> list[str]:
        """Ids of the stages of all runs, each once."""
        return list(dict.fromkeys(stage_id for run in self["runs"] for stage_id in run["stages"].values()))


class StageView:
    """Read access to one stage's folder. Files are read on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @cached_property
    def record(self) -> dict[str, Any]:
        """stage.json: kind, version, fields, inputs, seed, data, threads, device."""
        return _read_json(self.folder / "stage.json")

    @property
    def kind(self) -> str:
        return self.record["kind"]

    @property
    def status(self) -> Status:
        """status.json. A stage recorded as running without a live process is reported as interrupted."""
        status = self._written()
        if status.state == State.RUNNING and self.worked_on is None:
            status = self._written()  # it may have ended between the two reads
            if status.state == State.RUNNING:
                return replace(status, state=State.INTERRUPTED)
        return status

    @property
    def worked_on(self) -> Holder | None:
        """The live process that works on it, or None."""
        holder = read_holder(self.folder / "lock")
        return None if holder is None or holder.stale else holder

    @property
    def state(self) -> State:
        """One of STORED."""
        return self.status.state

    def _written(self) -> Status:
        """The content of status.json, without the check for a live process."""
        path = self.folder / "status.json"
        if not path.exists():
            return Status()
        data = _read_json(path)
        if data.get("state") not in STORED:
            raise StoreError(f"{path}: state is {data.get('state')!r}, not one of: {', '.join(STORED)}; it was changed by hand")
        known = {name: value for name, value in data.items() if name in Status.__dataclass_fields__}
        return Status(**{**known, "state": State(data["state"])})

    @property
    def result(self) -> Path:
        """The folder with the stage's output files.

        Raises:
            StoreError: the stage is not done.
        """
        state = self.state
        if state != State.DONE:
            raise StoreError(f"{self.folder}: the stage is {state}, so it has no result; run it with `yolact run`")
        return self.folder / "result"

    @property
    def env(self) -> dict[str, Any]:
        """env.json; {} if the stage has not been started."""
        path = self.folder / "env.json"
        return _read_json(path) if path.exists() else {}

    @property
    def log(self) -> list[dict[str, Any]]:
        """Events of log.jsonl, oldest first. A line cut short by a crash is left out."""
        return read_events(self.folder / "log.jsonl")[0]

    @property
    def set_aside(self) -> list[Path]:
        """Folders of checkpoints that were made by other code, by name (`experiments.run.checkpoint`)."""
        return sorted(self.folder.glob("checkpoint-*"))

    def damaged(self) -> list[str]:
        """Files of a finished result that are missing or differ from their digest."""
        folder = self.folder / "result"
        return [name for name, digest in self.status.digests.items() if _digest_or_none(folder / name) != digest]


class Store:
    """A results folder."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    def stage(self, stage_id: str) -> StageView:
        """The stage with this id.

        Raises:
            StoreError: there is none.
        """
        folder = self.stage_folder(stage_id)
        if not (folder / "stage.json").is_file():
            raise StoreError(f"no stage {stage_id!r} under {self.root / 'runs'}; `yolact status` lists what is there")
        return StageView(folder)

    def has(self, stage_id: str) -> bool:
        """Whether the stage was ever recorded."""
        return (self.stage_folder(stage_id) / "stage.json").is_file()

    def state(self, stage_id: str) -> State:
        """One of STORED; "planned" if the stage was never recorded."""
        return StageView(self.stage_folder(stage_id)).state

    def records(self) -> list[StageView]:
        """Every stage of the folder, by id."""
        return [StageView(path.parent) for path in sorted((self.root / "runs").glob("*/stage.json"))]

    def experiments(self) -> list[ExperimentRecord]:
        """Every experiment record, by name."""
        return [ExperimentRecord(_read_json(path)) for path in sorted((self.root / "experiments").glob("*.json"))]

    def experiment(self, name: str) -> ExperimentRecord:
        """The record of `<experiment>-<scale>`.

        Raises:
            StoreError: no such experiment was run.
        """
        path = self.root / "experiments" / f"{name}.json"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.json"))) or "none"
            raise StoreError(f"no experiment {name!r} under {path.parent}; there are: {known}")
        return ExperimentRecord(_read_json(path))

    def write_experiment(self, record: Mapping[str, Any]) -> Path:
        """Write the record of an experiment; return its path."""
        path = self.root / "experiments" / f"{ExperimentRecord(record).name}.json"
        write_json(path, record)
        return path

    def write_stage(self, stage_id: str, record: Mapping[str, Any]) -> None:
        """Record a stage before anything runs. One id has one content; only where its data lies may have changed."""
        path = self.stage_folder(stage_id) / "stage.json"
        if not path.is_file() or _read_json(path) != record:
            write_json(path, record)

    def stage_folder(self, stage_id: str) -> Path:
        """runs/<stage id>; it may not exist."""
        if not stage_id or "/" in stage_id or stage_id.startswith("."):
            raise StoreError(f"{stage_id!r} is not a stage id")
        return self.root / "runs" / stage_id

    def data_folder(self, name: str) -> Path:
        """data/<name>: folder of a generated data set; it may not exist."""
        return self.root / "data" / name

    def report_folder(self, experiment: str) -> Path:
        """reports/<experiment>-<scale>; it may not exist."""
        return self.root / "reports" / experiment

    def reports(self, experiment: str) -> list[Path]:
        """The folders of an experiment's reports: reports/<experiment>-<scale> and those of other notebooks on it."""
        folder = self.report_folder(experiment)
        found = (folder, *sorted(folder.parent.glob(f"{folder.name}-*")))
        return [path for path in found if path.is_dir() and path.suffix != ".failed"]

    @property
    def runs_folder(self) -> Path:
        """Parent of the stages' folders."""
        return self.root / "runs"

    @property
    def experiments_folder(self) -> Path:
        """Folder of the experiment records."""
        return self.root / "experiments"

    @property
    def trash_folder(self) -> Path:
        """Folder that removed stages are moved to before they are deleted."""
        return self.root / ".trash"

    @property
    def incoming_folder(self) -> Path:
        """Folder that merged stages are copied to before they are renamed."""
        return self.root / ".incoming"

    def conflict(self, number: int) -> Store:
        """conflicts/<number>, from 1: results folder of merged stages and records that differ from ours."""
        return Store(self.root / "conflicts" / str(number))

    @property
    def code_folder(self) -> Path:
        """Folder of the sources that stages ran with."""
        return self.root / "code"


def processes(location: Mapping[str, Any]) -> int:
    """Number of processes that work on a stage, from the `location` of its record."""
    return location.get("devices", 1) * location.get("nodes", 1)


def read_events(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Read the events on complete lines of a log.jsonl from a byte offset; return them and the next offset."""
    if not path.exists():
        return [], offset
    with open(path, "rb") as file:
        file.seek(offset)
        complete, newline, _ = file.read().rpartition(b"\n")
    events = []
    for line in complete.splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return events, offset + len(complete) + len(newline)


def digests(folder: Path) -> dict[str, str]:
    """{path relative to `folder`: SHA-256 in hex} of every file under it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): digest(path) for path in files}


def _digest_or_none(path: Path) -> str | None:
    return digest(path) if path.is_file() else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path}: is not JSON ({error}); it was changed by hand, or is not a results file") from None
    if not isinstance(data, dict):
        raise StoreError(f"{path}: is not a JSON object; it was changed by hand, or is not a results file")
    return data
