"""Stage kinds, and the context of their functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.spec.config import RunConfig
from yolact.config import Config
from yolact.training.ranks import ALONE, Ranks

MOST_TOGETHER = 16
"""Maximum number of stages in one worker: the detections of all of them stay in memory until the end."""
Fields = dict[str, Config | Any]
"""Input fields of a kind: configuration values and plain data."""


class Interrupted(Exception):  # noqa: N818 - not a fault
    """A stage function stopped on request; its checkpoint folder contains the state to resume from."""


@dataclass(frozen=True)
class StageContext:
    """Everything that a stage function may use."""

    fields: Mapping[str, Any]
    """Plain data, as returned by `Kind.fields`."""
    inputs: Mapping[str, Path]
    """{kind: result folder} of the stages this one builds on."""
    seed: int | None
    data: str
    """Name or path of the data set."""
    data_id: str
    data_root: Path
    """Folder of generated data sets."""
    device: str
    threads: int
    workers: int
    output: Path
    """An empty folder; its files become the stage's result."""
    checkpoint: Path
    """A folder that survives an interruption."""
    log: Callable[[Mapping[str, Any]], None]
    """Write one event; the time is added."""
    should_stop: Callable[[], bool]
    """Whether to save and raise `Interrupted`."""
    ranks: Ranks = ALONE
    """Rank of this process among those that work on the stage; only rank 0 writes to `output`."""


@dataclass(frozen=True)
class Ended:
    """Outcome of one stage of a batch."""

    error: Exception | None
    """Why it failed, or `Interrupted`; None if its output is complete."""
    own_seconds: float
    """Wall-clock time spent only for this stage. Overlapped work counts only while it was waited for."""
    shared_seconds: float
    """Time spent once for the whole batch."""
    seconds: float
    """Total time of the batch."""

    def others_seconds(self, stages: int) -> float:
        """The part of that time that counts for the other stages of a batch of `stages`."""
        return self.seconds - self.own_seconds - self.shared_seconds / stages


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    version: int
    fields: Callable[[RunConfig, str], Fields]
    """(configuration, evaluated split) -> the fields that this kind reads. Those that differ from the defaults enter the id."""
    function: str
    """"module:function", imported only in the process that runs the stage."""
    inputs: tuple[str, ...] = ()
    measure: str = ""
    """Name or import path of the measure (`yolact.measures.declaration`) that the function gets as its argument `measure`."""
    seeded: bool = False
    exclusive: bool = False
    """Whether it needs a whole machine, because it measures time."""
    distributed: bool = False
    """Whether several processes may work on it, `runtime.devices` × `runtime.nodes` of them."""
    together: str = ""
    """If stages on the same inputs can share work: the function that runs several of them, as "module:function"."""
    shared: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Any] = lambda fields, inputs: fields
    """(fields, fields of each input by its kind) -> the value that must be equal for that; None if nothing can be shared."""

    def load(self) -> Callable[[StageContext], None]:
        """Import the function."""
        function = load(self.function)
        return partial(function, measure=self.measure) if self.measure else function

    def load_together(self) -> Callable[[Sequence[StageContext]], list[Ended]]:
        """Import the function that runs several stages at once."""
        return load(self.together)


def is_exclusive(kinds: Mapping[str, Kind], name: str) -> bool:
    """Whether a kind needs a whole machine. Kinds from outside the table never do."""
    return name in kinds and kinds[name].exclusive


def load(reference: str) -> Callable[..., Any]:
    """Import the object named "module:name"."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
