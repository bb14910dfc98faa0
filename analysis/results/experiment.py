"""One experiment's stored results, as analysis sees them: variants, seeds, and the stages that measured each."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from analysis.results.contents import Contents, MissingResult, opened, read_json
from experiments.store.folder import StageView, Store
from experiments.store.metrics import Metric, metrics_in
from experiments.store.states import State
from yolact.errors import UserError

T = TypeVar("T")

PAPER_SCALE = "paper"
"""The only scale whose numbers may be set against the paper's directly."""
HEADLINE = ("mask_AP", "fps")
"""Metrics of the main tables where a record names none."""


class UnknownVariant(UserError):  # noqa: N818 - named as MissingResult is
    """A variant was asked for that the experiment doesn't have."""


@dataclass(frozen=True)
class Published:
    """A method that was not run here, with values that others published."""

    label: str
    source: str
    values: Mapping[str, float]
    """{metric name: value}."""


@dataclass(frozen=True)
class Variant:
    """One row of the ablation."""

    name: str
    label: str
    changes: Mapping[str, Any]
    """{dotted field: value}: what differs from the base."""
    paper: Mapping[str, float]
    """{metric name: the value that the paper prints}."""


class Experiment:
    """The record of one experiment at one scale and the stages behind it."""

    def __init__(self, store: Store, record: Mapping[str, Any]) -> None:
        self.store = store
        self.record = record
        self.name: str = record["experiment"]
        self.scale: str = record["scale"]
        self.title: str = record["title"]
        self.question: str = record["question"]
        self.reference: str = record["reference"]
        self.stand_ins: Mapping[str, Any] = record.get("stand_ins") or {}
        self.paper_source: str = (record.get("paper") or {}).get("source") or ""
        self.paper_note: str = (record.get("paper") or {}).get("note") or ""
        self.headline: tuple[str, ...] = tuple(record.get("headline") or HEADLINE)
        self.variants = tuple(
            Variant(v["name"], v.get("label") or v["name"], v.get("changes") or {}, v.get("paper") or {})
            for v in record["variants"]
        )
        self.published = tuple(
            Published(row["label"], row.get("source") or self.paper_source, row["values"])
            for row in record.get("published") or ()
        )
        self.metrics: Mapping[str, Metric] = metrics_in(record)
        """By name: all that a table may show."""
        self._runs = {(run["variant"], run["seed"]): run["stages"] for run in record["runs"]}
        self._views: dict[str, StageView] = {}
        self._states: dict[str, str] = {}

    @property
    def at_paper_scale(self) -> bool:
        return self.scale == PAPER_SCALE

    @property
    def data_name(self) -> str:
        """The data set's name."""
        return (self.record.get("data") or {}).get("name") or "unnamed data"

    @property
    def data(self) -> str:
        """The data set and split in words, such as `shapes (test)`."""
        split = (self.record.get("data") or {}).get("split")
        return f"{self.data_name} ({split})" if split else self.data_name

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(seed for _, seed in self._runs))

    def variant(self, name: str) -> Variant:
        """The variant of this name.

        Raises:
            UnknownVariant: there is none; the message lists those there are.
        """
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise UnknownVariant(f"{self.name} has no variant {name!r}; it has: {', '.join(one.name for one in self.variants)}")

    def seeds_of(self, variant: str) -> tuple[int, ...]:
        """The seeds that were planned for this variant."""
        return tuple(seed for name, seed in self._runs if name == variant)

    def kinds(self) -> tuple[str, ...]:
        """Every stage kind of the experiment, in the order of the record."""
        return tuple(dict.fromkeys(kind for stages in self._runs.values() for kind in stages))

    def stage_id(self, variant: str, seed: int, kind: str) -> str | None:
        return self._runs.get((variant, seed), {}).get(kind)

    def stages(self) -> Iterator[tuple[str, str, list[tuple[str, int]]]]:
        """Each stage once: (id, kind, [(variant, seed), ...] that it serves)."""
        uses: dict[tuple[str, str], list[tuple[str, int]]] = {}
        for run, stages in self._runs.items():
            for kind, stage_id in stages.items():
                uses.setdefault((stage_id, kind), []).append(run)
        for (stage_id, kind), runs in uses.items():
            yield stage_id, kind, runs

    def view(self, stage_id: str) -> StageView | None:
        """The stage's folder; None where it was never recorded."""
        if stage_id not in self._views and self.store.has(stage_id):
            self._views[stage_id] = self.store.stage(stage_id)
        return self._views.get(stage_id)

    def state(self, stage_id: str) -> str:
        """The stage's state, read once."""
        if stage_id not in self._states:
            view = self.view(stage_id)
            self._states[stage_id] = view.state if view else "planned"
        return self._states[stage_id]

    def reason(self, variant: str, seed: int, kind: str) -> str | None:
        """Why this result is not there, in a few words; None where it is."""
        stages = self._runs.get((variant, seed))
        if stages is None or kind not in stages:
            return "not part of this run"
        if self.state(stages[kind]) == "done":
            return None
        for upstream, stage_id in stages.items():  # the record lists inputs first
            if self.state(stage_id) == "failed" and (upstream == kind or self._feeds(stage_id, stages[kind])):
                return f"{upstream} failed{self._error(stage_id)}"
        state = self.state(stages[kind])
        return "not run yet" if state == "planned" else state

    def path(self, variant: str, seed: int, kind: str, file: str) -> Path:
        """A result file.

        Raises:
            MissingResult: the stage isn't done, or the file is not among its results.
        """
        reason = self.reason(variant, seed, kind)
        if reason:
            raise MissingResult(reason)
        view = self.view(self._runs[variant, seed][kind])
        if view is None or not (path := view.result / file).is_file():
            raise MissingResult(f"{kind} left no {file}")
        return path

    def read(self, variant: str, seed: int, kind: str, file: str) -> Any:
        """The contents of a JSON result file; raises as `path` does, and for a file that isn't JSON."""
        return read_json(self.path(variant, seed, kind, file))

    def arrays(self, variant: str, seed: int, kind: str, file: str) -> Mapping[str, NDArray[Any]]:
        """The arrays of an .npz result file; raises as `path` does, and for a file that isn't one."""
        path = self.path(variant, seed, kind, file)
        with opened(path) as found:
            return Contents(found.items(), path)

    def shares_training(self, first: str, second: str) -> bool:
        """Whether two variants differ in inference alone: every seed that both have is one and the same training."""
        seeds = [seed for seed in self.seeds_of(first) if (second, seed) in self._runs]
        return bool(seeds) and all(
            self.stage_id(first, seed, "train") == self.stage_id(second, seed, "train") is not None for seed in seeds
        )

    @cached_property
    def colour_order(self) -> tuple[str, ...]:
        """Variant names in the order that fixes their colours: the reference first."""
        names = [variant.name for variant in self.variants]
        return (self.reference, *[name for name in names if name != self.reference])

    def _repr_html_(self) -> str:
        states = [self.state(stage_id) for stage_id, _, _ in self.stages()]
        labels = ", ".join(html.escape(variant.label) for variant in self.variants)
        done = f"{states.count(State.DONE)} of {len(states)} stages are done"
        return f"<p><b>{html.escape(self.title)}</b><br>{html.escape(self.question)}<br>Variants: {labels}. {done}.</p>"

    def _feeds(self, source: str, target: str) -> bool:
        """Whether `source` is among the inputs, near or far, of `target`."""
        view = self.view(target)
        if view is None:
            return source.startswith("train-")  # never recorded: everything comes from a training
        ids = (view.record.get("inputs") or {}).values()
        return source in ids or any(self._feeds(source, one) for one in ids)

    def _error(self, stage_id: str) -> str:
        view = self.view(stage_id)
        error = view.status.error if view else None
        message = (error or {}).get("message", "").strip().splitlines()
        return f": {error['type']}: {message[0]}" if error and message else ""


def load(results: Path | str, experiment: str, scale: str) -> Experiment:
    """The stored results of an experiment at a scale.

    Raises:
        experiments.store.folder.StoreError: it was not run there.
    """
    store = Store(results)
    return Experiment(store, store.experiment(f"{experiment}-{scale}"))


def every(
    experiment: Experiment,
    read: Callable[[Experiment, str, int], T],
    otherwise: str,
    variants: Iterable[str] | None = None,
) -> list[tuple[str, int, T]]:
    """(variant, seed, what `read(experiment, variant, seed)` gives) of all that has it.

    Holes are passed over: the report lists what is missing.

    Args:
        variants: which, in this order; None takes all, the reference first.

    Raises:
        MissingResult: nothing has it; `otherwise` says what, and the reasons of the holes follow.
    """
    names = experiment.colour_order if variants is None else variants
    runs = [(variant, seed) for variant in names for seed in experiment.seeds_of(variant)]
    reasons: list[str] = []
    found = list(_readable(experiment, runs, read, reasons))
    if not found:
        raise _nothing(otherwise, reasons)
    return found


def first(experiment: Experiment, variant: str, read: Callable[[Experiment, str, int], T], otherwise: str) -> tuple[int, T]:
    """(seed, what `read(experiment, variant, seed)` gives) of the first seed of a variant that has it.

    Raises:
        MissingResult: none has, in the words of `every`.
    """
    reasons: list[str] = []
    for _, seed, found in _readable(experiment, [(variant, seed) for seed in experiment.seeds_of(variant)], read, reasons):
        return seed, found
    raise _nothing(otherwise, reasons)


def _readable(
    experiment: Experiment,
    runs: Iterable[tuple[str, int]],
    read: Callable[[Experiment, str, int], T],
    reasons: list[str],
) -> Iterator[tuple[str, int, T]]:
    """(variant, seed, what `read` gives) of the runs that have it; `reasons` gets why the others don't."""
    for variant, seed in runs:
        try:
            found = read(experiment, variant, seed)
        except MissingResult as missing:
            reasons.append(str(missing))
        else:
            yield variant, seed, found


def _nothing(otherwise: str, reasons: list[str]) -> MissingResult:
    return MissingResult(": ".join(filter(None, (otherwise, "; ".join(dict.fromkeys(reasons))))))
