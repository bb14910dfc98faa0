"""Executing a notebook: within a time limit, kept whatever happens, and the failed cell named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from analysis.report.kernel import ThisInterpreter
from analysis.report.notebooks import checked


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


def execute(
    notebook: Path, output: Path, parameters: Mapping[str, Any], minutes: float, progress: bool = False
) -> Failure | None:
    """Execute a notebook by papermill in the folder of `output`, to which it is written also when a cell fails.

    Args:
        minutes: time limit of the whole notebook, > 0.
        progress: show a progress bar on stderr.

    Returns:
        The cell that failed or was cut off, or None.

    Raises:
        ParameterError: the notebook is missing, or a parameter is not one of its own.
    """
    import papermill  # slow to import, and not needed by who only asks for a table
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    values = checked(notebook, parameters)
    end = time.monotonic() + 60 * minutes
    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters=values,
            cwd=output.parent,
            kernel_name="python3",
            kernel_manager_class=ThisInterpreter,
            timeout_func=lambda cell: max(0.1, end - time.monotonic()),
            progress_bar=progress,
        )
    except PapermillExecutionError as error:
        return _failure(output, f"{error.ename}: {error.evalue}")
    except CellTimeoutError:
        return _failure(output, f"the report took longer than its time limit of {minutes:g} minute(s); --time-limit sets it")
    except DeadKernelError as error:
        return _failure(output, f"DeadKernelError: {str(error).strip().splitlines()[0]}")
    return None


def _failure(output: Path, error: str) -> Failure:
    executed = _without_papermills_marks(output)
    index = _failed_cell(executed)
    return Failure(index + 1, _section(executed, index), error)


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
