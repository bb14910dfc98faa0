"""`yolact plan --all`: every row of every table with its training, and the time of all trainings."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from experiments.cli.common import Request
from experiments.cli.common import console as make_console
from experiments.plan.estimate import Estimate
from experiments.plan.union import title
from experiments.store.states import State


def show(asked: Request, summary: str) -> None:
    """Print the rows, then the number of trainings and the expected hours of the unfinished ones."""
    table = Table("spec", "row", "seed", "training", "hours", box=None, pad_edge=False)
    costs = {stage.id: asked.estimates.of(stage) for stage in asked.plan.stages.values() if stage.kind == "train"}
    done = {stage_id for stage_id in costs if asked.store.state(stage_id) == State.DONE}
    first: dict[str, str] = {}
    for part in asked.parts:
        labels = {variant["name"]: variant["label"] for variant in part.experiment["variants"]}
        for run in part.runs:
            training = run.stages["train"]
            name = title(part, run.variant)
            owner = first.setdefault(training, name)
            said = str(State.DONE) if training in done else _hours(costs[training])
            cells = (f"that of {owner}", "") if owner != name else (training, said)
            table.add_row(part.experiment["experiment"], escape(labels[run.variant]), str(run.seed), escape(cells[0]), cells[1])
    console = make_console()
    console.print(table)
    console.print(summary, markup=False)
    console.print(_total(costs, done, sum(len(part.runs) for part in asked.parts)), markup=False)
    for citation in dict.fromkeys(cost.source.citation for cost in costs.values() if cost.source is not None):
        console.print(f"measured: {citation}", markup=False)


def _total(costs: dict[str, Estimate], done: set[str], rows: int) -> str:
    left = [cost.seconds for stage_id, cost in costs.items() if stage_id not in done]
    known = [seconds for seconds in left if seconds is not None]
    unknown = len(left) - len(known)
    parts = [f"{sum(known) / 3600:.1f} hours for {len(known)} of them"] * bool(known)
    parts += [f"unknown for {unknown}: no training alike was measured"] * bool(unknown)
    return f"{rows} rows, {len(costs)} distinct trainings, {len(done)} done; the others take: {'; '.join(parts) or 'nothing'}"


def _hours(cost: Estimate) -> str:
    return "unknown" if cost.seconds is None else f"{cost.seconds / 3600:.2f}"
