"""`yolact plan`"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from experiments.cli.ask import rows
from experiments.cli.common import Request, plan_options, request
from experiments.cli.common import console as make_console
from experiments.plan.explain import Reason
from experiments.plan.sharing import Savings, savings
from experiments.spec.tree import flatten
from experiments.store.states import COLOURS, Why


@click.command()
@plan_options
@click.option("--explain", is_flag=True, help="Show every field of every variant and its origin.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(explain: bool, as_json: bool, **options: Any) -> None:
    """Show which stages a spec would run, and why. Needs neither a GPU nor the data.

    Time and memory are estimated from similar stages in the results folder; "unknown" if none has run. With --all, every row of
    every table is listed with its training, which runs once, and its hours. The last line shows what sharing saves compared
    with running every variant separately.

    \b
    Example:
      yolact plan prototypes --scale paper
      yolact plan --all --scale paper
      yolact plan nms --set training.lr=0.004 --explain
    """
    asked = request(**options)
    why = asked.reasons()
    if as_json:
        click.echo(json.dumps(_as_data(asked, why), indent=2))
    elif explain:
        _explain(asked)
    elif asked.together:
        rows.show(asked, summary(asked, why))
        _say_sharing(asked, why)
    else:
        _show(asked, why)


def summary(asked: Request, why: dict[str, Reason]) -> str:
    """`12 stages: 5 to run (5 new), 7 cached`."""
    words = Counter(why[stage_id].word for stage_id in asked.chosen)
    cached = words.pop(Why.CACHED, 0)
    kinds = ", ".join(f"{count} {word}" for word, count in words.items())
    todo = sum(words.values())
    return f"{asked.plan.name}: {len(asked.chosen)} stages, {todo} to run{f' ({kinds})' if kinds else ''}, {cached} cached"


def _show(asked: Request, why: dict[str, Reason]) -> None:
    table = Table("stage", "variant · seed · kind", "takes", "reason", box=None, pad_edge=False)
    for stage_id, reason in why.items():
        if stage_id in asked.chosen:
            text = f"[{COLOURS[reason.word]}]{reason.word}[/] {escape(reason.detail)}"
            takes = str(asked.estimates.of(asked.plan.stages[stage_id])) if reason.runs else ""
            table.add_row(stage_id, escape(asked.plan.title(stage_id)), takes, text)
    console = make_console()
    console.print(table)
    console.print(summary(asked, why))
    _say_sharing(asked, why)
    for paper, ours in asked.plan.experiment["stand_ins"].items():
        console.print(f"stand-in: {ours} for the paper's {paper}")


def _say_sharing(asked: Request, why: dict[str, Reason]) -> None:
    found = str(_savings(asked, why))
    if found:
        make_console().print(found, markup=False)


def _savings(asked: Request, why: dict[str, Reason]) -> Savings:
    todo = {stage_id for stage_id in asked.chosen if why[stage_id].runs}
    return savings(asked.plan, todo, asked.estimates)


def _explain(asked: Request) -> None:
    for variant, found in asked.plan.resolved.items():
        click.echo(f"{variant}")
        for path, value in flatten(found.config.to_data()).items():
            field = ".".join(path)
            click.echo(f"  {field} = {json.dumps(value)}   # {found.origins.get(field, 'default')}")


def _as_data(asked: Request, why: dict[str, Reason]) -> dict[str, Any]:
    stages = [
        {
            **stage.record,
            "title": asked.plan.title(stage.id),
            "reason": why[stage.id].word,
            "detail": why[stage.id].detail,
            "seconds": asked.estimates.of(stage).seconds,
            "memory_bytes": asked.estimates.of(stage).memory_bytes,
        }
        for stage in asked.plan.stages.values()
        if stage.id in asked.chosen
    ]
    origins = {name: dict(found.origins) for name, found in asked.plan.resolved.items()}
    record = {"experiments": [dict(part.experiment) for part in asked.parts]} if asked.together else asked.plan.experiment
    return {**record, "stages": stages, "origins": origins, "sharing": vars(_savings(asked, why))}
