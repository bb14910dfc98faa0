"""A report: a notebook executed on stored results and turned into a page that opens offline.

It is made in a folder of its own beside its place and put there by renaming, so a reader meets the old report or the new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from analysis.report.execution import execute
from analysis.report.folder import folder_beside, put_in_place
from analysis.report.html import Heading, as_page
from analysis.report.notebooks import NOTEBOOKS, OWN, PAPER, Notebook, ParameterError, checked
from analysis.results.experiment import Experiment, load
from experiments.store.folder import Store
from yolact.errors import UserError

MINUTES = 20.0
"""Time limit of a report, where none is given."""


class ReportError(UserError):
    """The report could not be made. The message names the cell or the file."""


def make_report(
    results: Path | str,
    experiment: str,
    scale: str,
    notebook: str = "ablation",
    parameters: Mapping[str, Any] | None = None,
    minutes: float = MINUTES,
    progress: bool = False,
) -> Path:
    """Execute a notebook on an experiment and write results/reports/<experiment>-<scale>[-<notebook>]/.

    The folder holds index.html, report.ipynb, figures/ and tables, and replaces that of an earlier report. With the notebook
    `paper`, `experiment` is "paper" too: all experiments of the scale are on one page, in results/reports/paper-<scale>/.

    Args:
        notebook: of `notebooks.NOTEBOOKS`.
        parameters: further parameters of the notebook.
        minutes: time limit of the whole report.
        progress: show a progress bar on stderr.

    Returns:
        The path of index.html.

    Raises:
        StoreError: the experiment was not run there.
        ParameterError: the notebook has no such parameter, or it is of another type.
        ReportError: a cell failed; the partial report lies in `<folder>.failed/`, an earlier report stays. Or the folder
            cannot be written.
    """
    chosen = NOTEBOOKS[notebook]
    values = _parameters(chosen, experiment, scale, parameters or {})
    store = Store(Path(results).resolve())
    heading = _paper_heading(store, scale) if notebook == PAPER else _heading(load(store.root, experiment, scale), chosen)
    target = store.report_folder(chosen.folder_name(experiment, scale))
    partial = target.with_name(f"{target.name}.failed")
    with _writable(target.parent), folder_beside(target) as folder:
        failure = execute(chosen.path, folder / "report.ipynb", values, minutes, progress)
        executed = nbformat.read(folder / "report.ipynb", as_version=4)
        (folder / "index.html").write_text(as_page(executed, heading, str(failure) if failure else None), encoding="utf-8")
        put_in_place(partial if failure else target, folder)
        if not failure:
            shutil.rmtree(partial, ignore_errors=True)
    if failure:
        raise ReportError(f"{failure}\nThe report up to that cell is {partial / 'index.html'}")
    return target / "index.html"


def _parameters(notebook: Notebook, experiment: str, scale: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters; paths are relative to the report, so that they stay true when the results folder is moved."""
    for name in given:
        if name in OWN:
            raise ParameterError(f"{name} is not set by -p: the command's own arguments and options say it")
    own = {"scale": scale, "results": "../..", "output": "."}
    if notebook.name != PAPER:
        own["experiment"] = experiment
    return {**checked(notebook.path, given), **own}


def _heading(experiment: Experiment, notebook: Notebook) -> Heading:
    facts = [("scale", experiment.scale), ("data", experiment.data), ("seeds", str(len(experiment.seeds))),
             ("variants", str(len(experiment.variants))), ("run", str(experiment.record.get("created", ""))[:10])]  # fmt: skip
    return Heading(experiment.title, tuple(fact for fact in facts if fact[1]), notebook.title)


def _paper_heading(store: Store, scale: str) -> Heading:
    """Raises ReportError where nothing was run at the scale."""
    records = [record for record in store.experiments() if record["scale"] == scale]
    if not records:
        raise ReportError(f"{store.root}: nothing was run at scale {scale!r}; give `yolact run --all --scale {scale}` first")
    last = max(str(record.get("created", ""))[:10] for record in records)
    facts = (("scale", scale), ("experiments", str(len(records))), ("last run", last))
    return Heading("The paper's tables and figures, made here", facts, NOTEBOOKS[PAPER].title)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(f"{error.filename or folder}: cannot write the report: {error.strerror or error}") from error
