"""Options and steps that several commands share."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from experiments.datasets.dataset import Dataset
from experiments.datasets.declarations import declared_names
from experiments.datasets.find import find_dataset
from experiments.plan.build import DataInfo, Plan, build_plan
from experiments.plan.estimate import Estimates
from experiments.plan.explain import Reason, reasons
from experiments.plan.union import together
from experiments.spec.document import SpecError
from experiments.spec.resolve import parse_setting
from experiments.spec.schema import DEFAULT_SCALE, MOST_SEED, load_scale, load_spec, names
from experiments.spec.variants import data_of
from experiments.store.folder import Store
from yolact.config.base import nearest

RESULTS = "results"
"""The results folder by default."""


@dataclass(frozen=True)
class Request:
    """A resolved request to plan or run."""

    plan: Plan
    """With `--all` the merged plan of every spec."""
    store: Store
    chosen: set[str]
    """Ids of the stages that `--only` selects."""
    datasets: tuple[Dataset, ...]
    parts: tuple[Plan, ...]
    """The plan of each requested spec."""

    @cached_property
    def estimates(self) -> Estimates:
        """Expected time and memory of stages, from the results folder as of the first use."""
        return Estimates(self.store, self.plan.stages)

    @property
    def together(self) -> bool:
        """Whether `--all` was given."""
        return self.plan not in self.parts

    def reasons(self) -> dict[str, Reason]:
        """The reason for each stage, by id."""
        return {stage_id: reason for part in self.parts for stage_id, reason in reasons(part, self.store).items()}


class SeedList(click.ParamType):
    """Seeds separated by commas or spaces."""

    name = "seeds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            seeds = tuple(int(part) for part in str(value).replace(",", " ").split())
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers such as 0,1,2", param, ctx)
        if not seeds or min(seeds) < 0 or max(seeds) > MOST_SEED or len(set(seeds)) != len(seeds):
            self.fail(f"{value!r}: give one or more different seeds, from 0 to {MOST_SEED}", param, ctx)
        return seeds


def console() -> Console:
    """Console on standard output; 200 columns wide if it is not a terminal."""
    found = Console(highlight=False, soft_wrap=True)
    return found if found.is_terminal else Console(highlight=False, soft_wrap=True, width=200)


def results_option(command: Callable) -> Callable:
    """--results, the results folder."""
    return click.option(
        "--results", default=RESULTS, show_default=True, type=click.Path(path_type=Path), help="The results folder."
    )(command)


def given(results: Path) -> str:
    """` --results FOLDER`, to append to a suggested command; "" for the default."""
    return "" if results == Path(RESULTS) else f" --results {shlex.quote(str(results))}"


def plan_options(command: Callable) -> Callable:
    """SPEC or --all, and the options that select what to plan."""
    options: list[Callable] = [
        click.argument("spec", required=False),
        click.option("--all", "all_specs", is_flag=True, help="Every spec, each training once."),
        click.option(
            "--scale", default=DEFAULT_SCALE, show_default=True, help=f"{', '.join(names('scales'))}, or a scale's file."
        ),
        click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="Change a field; may be repeated."),
        click.option("--seeds", type=SeedList(), help='Seeds that replace the spec\'s, such as 0,1,2 or "0 1 2".'),
        click.option("--data", help="Data set that replaces the scale's: a name, or the path of a data set."),
        click.option("--only", multiple=True, metavar="VARIANT", help="Run only this variant; may be repeated."),
        results_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


def request(
    spec: str | None,
    all_specs: bool,
    scale: str,
    settings: tuple[str, ...],
    seeds: tuple[int, ...] | None,
    data: str | None,
    only: tuple[str, ...],
    results: Path,
) -> Request:
    """Plan the request that the options describe.

    Raises:
        UserError: an option is wrong.
    """
    if all_specs == (spec is not None):
        raise click.UsageError("name a spec, such as nms, or give --all")
    if all_specs and only:
        raise click.UsageError("--only names variants of one spec; it doesn't go with --all")
    loaded_scale = load_scale(scale)
    parsed = [parse_setting(text) for text in settings]
    datasets: dict[str, Dataset] = {}
    parts = []
    for name in names("specs") if spec is None else [spec]:
        loaded = load_spec(name)
        location = data or data_of(loaded.at(loaded_scale))
        dataset = datasets.setdefault(location, find_dataset(location))
        info = DataInfo(dataset.name, dataset.id, tuple(dataset.splits))
        where = str(Path(location).absolute()) if Path(location).exists() and location not in declared_names() else location
        parts.append(build_plan(loaded, loaded_scale, info, location=where, settings=parsed, seeds=seeds))
    plan = together(parts) if all_specs else parts[0]
    return Request(plan, Store(results), _chosen(plan, only), tuple(datasets.values()), tuple(parts))


def _chosen(plan: Plan, only: tuple[str, ...]) -> set[str]:
    names = list(plan.resolved)
    for name in only:
        if name not in names:
            raise SpecError(f"--only: unknown variant {name!r}{nearest(name, names)}")
    return plan.only(only or names)
