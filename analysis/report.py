"""A report: a notebook executed on stored results and turned into a page that opens offline.

It is made in a folder of its own beside its place and put there by renaming, so a reader meets the old report or the new one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from analysis.html import Heading, as_page
from analysis.kernel import ROOT, ThisInterpreter
from analysis.results import Experiment, load
from yolact.errors import UserError

NOTEBOOKS = ROOT / "notebooks"
CELL_SECONDS = 600
"""Time limit of one cell."""


class ReportError(UserError):
    """The report could not be made. The message names the cell or the file."""


@dataclass(frozen=True)
class Failure:
    """The cell that ended a notebook."""

    cell: int
    """Counted from 1 over all cells of the notebook."""
    section: str
    """The heading it stands under."""
    error: str
    """Class and message."""

    def __str__(self) -> str:
        return f"cell {self.cell} (section {self.section!r}) failed: {self.error}"


def make_report(results: Path | str, experiment: str, scale: str, progress: bool = False) -> Path:
    """Execute `notebooks/ablation.ipynb` and write results/reports/<experiment>-<scale>/.

    The folder holds index.html, report.ipynb, figures/, table.csv and table.md, and replaces that of an earlier report.

    Args:
        progress: show a progress bar on stderr.

    Returns:
        The path of index.html.

    Raises:
        StoreError: the experiment was not run there.
        ReportError: a cell failed; the partial report lies in `<experiment>-<scale>.failed/`, an earlier report stays. Or the
            folder cannot be written.
    """
    found = load(Path(results).resolve(), experiment, scale)
    target = found.store.report_folder(f"{experiment}-{scale}")
    partial = target.with_name(f"{target.name}.failed")
    with _writable(target.parent), _folder_beside(target) as folder:
        # Paths relative to the report stay true when the results folder is moved.
        parameters = {"experiment": experiment, "scale": scale, "results": "../..", "output": "."}
        failure = execute(NOTEBOOKS / "ablation.ipynb", folder / "report.ipynb", parameters, progress)
        notebook = nbformat.read(folder / "report.ipynb", as_version=4)
        page = as_page(notebook, _heading(found), str(failure) if failure else None)
        (folder / "index.html").write_text(page, encoding="utf-8")
        _replace(partial if failure else target, folder)
        if not failure:
            shutil.rmtree(partial, ignore_errors=True)
    if failure:
        raise ReportError(f"{failure}\nThe report up to that cell is {partial / 'index.html'}")
    return target / "index.html"


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any], progress: bool = False) -> Failure | None:
    """Execute a notebook by papermill in the folder of `output`, to which it is written also when a cell fails.

    Returns:
        The cell that failed, or None.

    Raises:
        ReportError: the notebook is missing, or a parameter is not one of its own.
    """
    import papermill  # slow to import, and not needed by who only asks for a table
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    _check_parameters(notebook, parameters)
    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters=dict(parameters),
            cwd=output.parent,
            kernel_name="python3",
            kernel_manager_class=ThisInterpreter,
            execution_timeout=CELL_SECONDS,
            progress_bar=progress,
        )
    except PapermillExecutionError as error:
        executed = _without_papermills_marks(output)
        index = _failed_cell(executed)
        return Failure(index + 1, _section(executed, index), f"{error.ename}: {error.evalue}")
    except (CellTimeoutError, DeadKernelError) as error:
        executed = _without_papermills_marks(output)
        index = _failed_cell(executed)
        reason = str(error).strip().splitlines()[0]
        return Failure(index + 1, _section(executed, index), f"{type(error).__name__}: {reason}")
    return None


def _check_parameters(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Papermill only warns about a parameter that the notebook doesn't have."""
    import papermill

    if not notebook.is_file():
        raise ReportError(f"{notebook}: no such notebook; reports need the project's checkout (`pip install -e .`)")
    known = papermill.inspect_notebook(notebook)
    for name in parameters:
        if name not in known:
            raise ReportError(f"{notebook}: has no parameter {name!r}; it has: {', '.join(known)}")


def _without_papermills_marks(path: Path) -> NotebookNode:
    """The executed notebook, written again without the cells that papermill puts in to point at the failed one."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    nbformat.write(notebook, path)
    return notebook


def _failed_cell(notebook: NotebookNode) -> int:
    """Index of the cell that holds an error, else of the first code cell that did not come to its end."""
    code = [(index, cell) for index, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    for index, cell in code:
        if any(output.output_type == "error" for output in cell.outputs):
            return index
    ended = ("completed",)
    return next(
        (i for i, cell in code if cell.metadata.get("papermill", {}).get("status") not in ended), len(notebook.cells) - 1
    )


def _section(notebook: NotebookNode, index: int) -> str:
    """The heading above a cell."""
    headings = [cell.source.splitlines()[0].lstrip("# ") for cell in notebook.cells[: index + 1]
                if cell.cell_type == "markdown" and cell.source.startswith("#")]  # fmt: skip
    return headings[-1] if headings else "start"


def _heading(experiment: Experiment) -> Heading:
    facts = [("scale", experiment.scale), ("data", experiment.data), ("seeds", str(len(experiment.seeds))),
             ("variants", str(len(experiment.variants))), ("run", str(experiment.record.get("created", ""))[:10])]  # fmt: skip
    return Heading(experiment.title, tuple(fact for fact in facts if fact[1]))


@contextmanager
def _folder_beside(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, removed afterwards unless it was renamed."""
    folder = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _replace(target: Path, folder: Path) -> None:
    """Put `folder` in the place of `target`."""
    old = folder.with_name(f"{folder.name}.old")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(folder, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReportError(f"{error.filename or folder}: cannot write the report: {error.strerror or error}") from error
