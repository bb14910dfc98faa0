"""Plan a spec at a scale as a graph of stages with content ids. Needs neither torch nor the data's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from experiments.graph import in_order
from experiments.plan.ids import FileDigests, stage_id
from experiments.spec.config import RunConfig
from experiments.spec.document import SpecError
from experiments.spec.paper import check_names, printed, published
from experiments.spec.resolve import Resolved, resolve
from experiments.spec.schema import LoadedScale, LoadedSpec, SpecAtScale
from experiments.spec.variants import Setting, Variant, reference_of, seeds_of, variants_of
from experiments.stages.custom_code import code_digests
from experiments.stages.kind import Kind
from experiments.stages.outside import kinds_with
from experiments.stages.table import KINDS
from experiments.store.folder import processes
from experiments.store.metrics import metrics_of
from yolact.config import Config


@dataclass(frozen=True)
class DataInfo:
    """Properties of a data set that planning needs."""

    name: str
    id: str
    splits: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """One node of the graph."""

    id: str
    content: Mapping[str, Any]
    """Kind, version, fields, inputs, seed, data, threads, device, and the code of import paths. The id hashes them, without the
    fields at their defaults."""
    location: Mapping[str, Any]
    """Paths on this machine (data set, weight files), and the number of processes; not part of the id."""

    @property
    def kind(self) -> str:
        return self.content["kind"]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Ids of the stages this one builds on."""
        return tuple(self.content["inputs"].values())

    @property
    def threads(self) -> int:
        return self.content["threads"]

    @property
    def processes(self) -> int:
        """Number of processes that work on it, each with `threads` threads."""
        return processes(self.location)

    @property
    def record(self) -> dict[str, Any]:
        """stage.json."""
        return {"id": self.id, **self.content, "location": dict(self.location)}


@dataclass(frozen=True)
class Run:
    """One variant at one seed."""

    variant: str
    seed: int
    stages: Mapping[str, str]
    """{kind: stage id}"""


@dataclass(frozen=True)
class Plan:
    """All stages of a spec at a scale."""

    name: str
    """`<experiment>-<scale>`"""
    experiment: Mapping[str, Any]
    """The experiment record of `docs/architecture.md`."""
    stages: Mapping[str, Stage]
    """By id, each after its inputs."""
    runs: tuple[Run, ...]
    resolved: Mapping[str, Resolved]
    """By variant."""

    def title(self, stage_id: str) -> str:
        """Readable title of a stage: its variants, its seeds and its kind."""
        return self._titles[stage_id]

    @cached_property
    def _titles(self) -> dict[str, str]:
        owners: dict[str, list[Run]] = {}
        for run in self.runs:
            for stage in run.stages.values():
                owners.setdefault(stage, []).append(run)
        return {stage: _title(self.stages[stage].kind, runs) for stage, runs in owners.items()}

    def only(self, variants: Iterable[str]) -> set[str]:
        """Ids of the stages of these variants."""
        chosen = set(variants)
        return {stage_id for run in self.runs if run.variant in chosen for stage_id in run.stages.values()}


def _title(kind: str, runs: list[Run]) -> str:
    variants = list(dict.fromkeys(run.variant for run in runs))
    seeds = sorted({run.seed for run in runs})
    more = f" +{len(variants) - 1}" if len(variants) > 1 else ""
    return f"{variants[0]}{more} · seed {', '.join(map(str, seeds))} · {kind}"


def build_plan(
    spec: LoadedSpec,
    scale: LoadedScale,
    data: DataInfo,
    *,
    location: str | None = None,
    settings: Iterable[Setting] = (),
    seeds: Iterable[int] | None = None,
    kinds: Mapping[str, Kind] = KINDS,
    measure: tuple[str, ...] | None = None,
) -> Plan:
    """The plan of a spec at a scale on a data set.

    Args:
        location: name or path that the data set is opened by, if it differs from its name.
        settings: from `--set`.
        seeds: replace the spec's.

    Raises:
        SpecError: anything wrong in spec, scale or settings.
    """
    settings = tuple(settings)
    asked = spec.at(scale)
    variants = variants_of(asked)
    resolved = {variant.name: resolve(asked, variant, settings) for variant in variants}
    check_names(spec, asked, variants)
    chosen = tuple(seeds) if seeds is not None else seeds_of(asked)
    outside = asked.outside()
    kinds = kinds_with(kinds, outside)
    named = tuple(outside[name].name if name in outside else name for name in asked.spec.measure)
    wanted = in_order(measure or ("train", *named), lambda kind: kinds[kind].inputs)
    if "train" in wanted and "train" not in data.splits:
        raise SpecError(f"data set {data.name!r} has no split 'train' to learn from; it has: {', '.join(data.splits)}")
    files = FileDigests(asked.config)
    stages: dict[str, Stage] = {}
    runs = []
    for variant in variants:
        config = resolved[variant.name].config
        parts = _Parts(config, _split(config, data), data, location or data.name, files)
        for seed in chosen:
            ids: dict[str, str] = {}
            for name in wanted:
                stage = parts.stage(name, kinds[name], ids, seed)
                stages.setdefault(stage.id, stage)
                ids[name] = stage.id
            runs.append(Run(variant.name, seed, ids))
    splits = {_split(found.config, data) for found in resolved.values()}
    record = _experiment(asked, data, sorted(splits)[0], variants, resolved, runs)
    return Plan(f"{spec.name}-{scale.name}", record, stages, tuple(runs), resolved)


class _Parts:
    """Builds the stages of one variant; the fields of each kind are computed once for all seeds."""

    def __init__(self, config: RunConfig, split: str, data: DataInfo, location: str, weights: FileDigests) -> None:
        self.config, self.split, self.data, self.location, self.weights = config, split, data, location, weights
        self.fields: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, str], dict[str, str]]] = {}

    def stage(self, name: str, kind: Kind, ids: Mapping[str, str], seed: int) -> Stage:
        if name not in self.fields:
            read = kind.fields(self.config, self.split)
            plain = {field: value.to_data() if isinstance(value, Config) else value for field, value in read.items()}
            essence = plain | {field: value.essence(plain[field]) for field, value in read.items() if isinstance(value, Config)}
            fields, files = self.weights.by_digest(plain)
            self.fields[name] = fields, self.weights.by_digest(essence)[0], files, code_digests(fields)
        fields, essence, files, code = self.fields[name]
        content = {
            "kind": name,
            "version": kind.version,
            "fields": fields,
            "inputs": {needed: ids[needed] for needed in kind.inputs},
            "seed": seed if kind.seeded else None,
            "data": self.data.id,
            "threads": self.config.runtime.threads,
            "device": self.config.runtime.device,
            **({"code": code} if code else {}),
        }
        runtime = self.config.runtime
        where = {"data": self.location, "files": files, "workers": runtime.workers}
        if kind.distributed and runtime.processes > 1:
            where |= {"devices": runtime.devices, "nodes": runtime.nodes}
        return Stage(stage_id({**content, "fields": essence}), content, where)


def _split(config: RunConfig, data: DataInfo) -> str:
    """The evaluated split: the configured one, else `test`, else `val`."""
    asked = config.evaluation.split
    if asked is not None and asked not in data.splits:
        raise SpecError(f"evaluation.split: data set {data.name!r} has no split {asked!r}; it has: {', '.join(data.splits)}")
    found = [name for name in (asked, "test", "val") if name in data.splits]
    if not found:
        raise SpecError(f"data set {data.name!r} has neither a test nor a val split; it has: {', '.join(data.splits)}")
    return found[0]


def _experiment(
    asked: SpecAtScale, data: DataInfo, split: str, variants: list[Variant], resolved: Mapping[str, Resolved], runs: list[Run]
) -> dict[str, Any]:
    spec = asked.spec
    return {
        "experiment": asked.name,
        "scale": asked.scale.name,
        "title": spec.title,
        "question": spec.question,
        "reference": reference_of(asked, variants),
        "data": {"name": data.name, "id": data.id, "split": split},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "headline": list(spec.headline),
        "paper": {"source": spec.paper.source, "note": spec.paper.note} if spec.paper else {"source": "", "note": ""},
        "published": published(asked),
        "stand_ins": {old: new for found in resolved.values() for old, new in found.stand_ins.items()},
        "variants": [
            {
                "name": variant.name,
                "label": variant.label,
                "changes": dict(resolved[variant.name].changes),
                "paper": printed(asked, variant.name),
            }
            for variant in variants
        ],
        **({"metrics": scalars} if (scalars := _scalars(asked)) else {}),
        "runs": [{"variant": run.variant, "seed": run.seed, "stages": dict(run.stages)} for run in runs],
    }


def _scalars(asked: SpecAtScale) -> list[dict[str, Any]]:
    """The metrics of measures from outside, so that tables need not import them."""
    return [metric.to_data() for measure in asked.outside().values() for metric in metrics_of(measure)]
