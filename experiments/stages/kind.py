"""What a kind of stage is, and what its function gets."""

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
"""Most stages in one worker: all of them hold what they found in memory until the end."""
Fields = dict[str, Config | Any]
"""What a kind reads: configuration values and plain data."""


class Interrupted(Exception):  # noqa: N818 - not a fault
    """A stage function stopped because it was asked to; what it needs to go on lies in its checkpoint folder."""


@dataclass(frozen=True)
class StageContext:
    """All that a stage function may use."""

    fields: Mapping[str, Any]
    """Plain data, as `Kind.fields` gave it."""
    inputs: Mapping[str, Path]
    """{kind: result folder} of the stages this one builds on."""
    seed: int | None
    data: str
    """Name or path of the data set."""
    data_id: str
    data_root: Path
    """Where generated data sets are kept."""
    device: str
    threads: int
    workers: int
    output: Path
    """An empty folder; its files become the stage's result."""
    checkpoint: Path
    """A folder that outlives an interruption."""
    log: Callable[[Mapping[str, Any]], None]
    """Write one event; the time is added."""
    should_stop: Callable[[], bool]
    """Whether to save, raise `Interrupted` and leave."""
    ranks: Ranks = ALONE
    """This process among those that work on the stage together; rank 0 alone writes to `output`."""


@dataclass(frozen=True)
class Ended:
    """How one of several stages ended that were worked on together."""

    error: Exception | None
    """What it failed of, or `Interrupted`; None where its output is complete."""
    own_seconds: float
    """Time spent for this stage alone, by the clock: what is done beside other work counts as far as it was waited for."""
    shared_seconds: float
    """Time spent once for all of them."""
    seconds: float
    """All the time they took."""

    def others_seconds(self, stages: int) -> float:
        """How much of that time counts for the other stages, of so many in all."""
        return self.seconds - self.own_seconds - self.shared_seconds / stages


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    version: int
    fields: Callable[[RunConfig, str], Fields]
    """(configuration, evaluated split) -> what this kind reads. It enters the id, as far as it differs from the defaults."""
    function: str
    """"module:function", imported only where the stage runs."""
    inputs: tuple[str, ...] = ()
    measure: str = ""
    """Name or import path of the measure (`yolact.measures.declaration`) that the function gets as its argument `measure`."""
    seeded: bool = False
    exclusive: bool = False
    """Runs alone on its machine, since it measures time."""
    distributed: bool = False
    """May be worked on by several processes together, `runtime.devices` × `runtime.nodes` of them."""
    together: str = ""
    """Where stages on the same inputs can share work: the function, as above, that does several of them."""
    shared: Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]]], Any] = lambda fields, inputs: fields
    """(fields, fields of each input by its kind) -> what must be equal for that; None where nothing can be shared."""

    def load(self) -> Callable[[StageContext], None]:
        """The function itself."""
        function = load(self.function)
        return partial(function, measure=self.measure) if self.measure else function

    def load_together(self) -> Callable[[Sequence[StageContext]], list[Ended]]:
        """The function that does several stages at once."""
        return load(self.together)


def is_exclusive(kinds: Mapping[str, Kind], name: str) -> bool:
    """Whether a kind runs alone on its machine. Kinds from outside the table never do."""
    return name in kinds and kinds[name].exclusive


def load(reference: str) -> Callable[..., Any]:
    """What "module:name" names."""
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
