"""The page that all reports hang on: results/reports/index.html, with every spec that has no report as a visible hole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from analysis.answer import answer
from analysis.html import TEMPLATES
from analysis.results import Experiment, load
from experiments.store import Store


@dataclass(frozen=True)
class Entry:
    """One experiment on the page."""

    title: str
    link: str | None
    """To its report, relative to the page; None where there is none."""
    answer: str
    """"" where there is no report."""
    stages: int
    done: int
    """Stages of it that are done by now."""
    missing: str
    """What is missing, "" where nothing is."""


def write_overview(results: Path | str, titles: Mapping[str, str]) -> Path:
    """Write results/reports/index.html from the experiments recorded in a results folder.

    Args:
        titles: {spec: title} of everything that could be asked; what was not run at a scale is named there.

    Returns:
        The page's path.
    """
    store = Store(results)
    scales: dict[str, list[Entry]] = {}
    asked: dict[str, set[str]] = {}
    for record in store.experiments():
        experiment = load(results, record["experiment"], record["scale"])
        scales.setdefault(experiment.scale, []).append(_entry(experiment))
        asked.setdefault(experiment.scale, set()).add(experiment.name)
    for scale, entries in scales.items():
        absent = [name for name in titles if name not in asked[scale]]
        entries += [Entry(titles[name], None, "", 0, 0, f"not run: yolact run {name} --scale {scale}") for name in absent]
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES / "report"), autoescape=True)
    styles = (TEMPLATES / "report" / "report.css").read_text(encoding="utf-8")
    page = environment.get_template("overview.html.j2").render(scales=scales, styles=styles)
    path = store.report_folder("index.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".index.{os.getpid()}.tmp")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)
    return path


def _entry(experiment: Experiment) -> Entry:
    name = f"{experiment.name}-{experiment.scale}"
    folder = experiment.store.report_folder(name)
    stages = [stage_id for stage_id, _, _ in experiment.stages()]
    done = sum(experiment.state(stage_id) == "done" for stage_id in stages)
    if not (folder / "index.html").is_file():
        missing = f"no report: yolact report {experiment.name} --scale {experiment.scale}"
        return Entry(experiment.title, None, "", len(stages), done, missing)
    missing = "" if done == len(stages) else f"{len(stages) - done} of {len(stages)} stages are missing"
    return Entry(experiment.title, f"{name}/index.html", _answer(experiment, folder / "table.csv"), len(stages), done, missing)


def _answer(experiment: Experiment, table: Path) -> str:
    """The answer as the report gives it, from its table."""
    summary = pd.read_csv(table, keep_default_na=False, na_values=[""])
    return answer(experiment, summary[summary["method"] != "published"])
