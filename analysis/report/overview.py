"""The page that all reports hang on: results/reports/index.html, with every spec that has no report as a visible hole."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd

from analysis.report.html import TEMPLATES
from analysis.report.notebooks import NOTEBOOKS, PAPER
from analysis.results.experiment import Experiment, load
from analysis.tables.answer import answer
from experiments.store.folder import Store


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
    more: tuple[tuple[str, str], ...] = ()
    """(what it shows, link) of the other reports on it."""


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
        entries.insert(0, _paper(store, scale))
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES / "report"), autoescape=True)
    styles = (TEMPLATES / "report" / "report.css").read_text(encoding="utf-8")
    page = environment.get_template("overview.html.j2").render(scales=scales, styles=styles)
    path = store.report_folder("index.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".index.{os.getpid()}.tmp")
    aside.write_text(page, encoding="utf-8")
    os.replace(aside, path)
    return path


def _paper(store: Store, scale: str) -> Entry:
    """The page on all experiments of a scale."""
    name = NOTEBOOKS[PAPER].folder_name(PAPER, scale)
    made = (store.report_folder(name) / "index.html").is_file()
    missing = "" if made else f"no report: yolact report {PAPER} --scale {scale}"
    return Entry("All tables and figures of the paper", f"{name}/index.html" if made else None, "", 0, 0, missing)


def _entry(experiment: Experiment) -> Entry:
    links = {
        notebook: f"{name}/index.html"
        for notebook, name in _report_names(experiment).items()
        if (experiment.store.report_folder(name) / "index.html").is_file()
    }
    more = tuple((NOTEBOOKS[name].title, link) for name, link in links.items() if name != "ablation") + _gallery(experiment)
    stages = [stage_id for stage_id, _, _ in experiment.stages()]
    done = sum(experiment.state(stage_id) == "done" for stage_id in stages)
    if "ablation" not in links:
        missing = f"no report: yolact report {experiment.name} --scale {experiment.scale}"
        return Entry(experiment.title, None, "", len(stages), done, missing, more)
    missing = "" if done == len(stages) else f"{len(stages) - done} of {len(stages)} stages are missing"
    table = experiment.store.report_folder(f"{experiment.name}-{experiment.scale}") / "table.csv"
    return Entry(experiment.title, links["ablation"], _answer(experiment, table), len(stages), done, missing, more)


def _gallery(experiment: Experiment) -> tuple[tuple[str, str], ...]:
    """What the experiment's entry says of the gallery that `yolact gallery` made of it."""
    name = f"{experiment.name}-{experiment.scale}-gallery"
    made = (experiment.store.report_folder(name) / "index.html").is_file()
    return (("gallery of prototypes", f"{name}/index.html"),) if made else ()


def _report_names(experiment: Experiment) -> dict[str, str]:
    """{notebook: folder below reports/} of every report that there could be on an experiment."""
    return {name: one.folder_name(experiment.name, experiment.scale) for name, one in NOTEBOOKS.items() if name != PAPER}


def _answer(experiment: Experiment, table: Path) -> str:
    """The answer as the report gives it, from its table."""
    summary = pd.read_csv(table, keep_default_na=False, na_values=[""])
    return answer(experiment, summary[summary["method"] != "published"])
