"""The notebooks that reports are made from: what each shows, and the parameters that it takes."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yolact.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
PAPER = "paper"
"""The notebook on all experiments of a scale; every other is on one."""
OWN = ("experiment", "scale", "results", "output")
"""Parameters that the command sets by itself."""


class ParameterError(UserError):
    """A notebook has no such parameter, or not of that type. The message names both."""


@dataclass(frozen=True)
class Notebook:
    """One notebook."""

    name: str
    title: str
    """What it shows, put behind the title of the experiment."""
    kinds: tuple[str, ...] = ()
    """Stage kinds of which it shows at least one; empty where it has something to say on every experiment."""

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.ipynb"

    def folder_name(self, experiment: str, scale: str) -> str:
        """The report's folder below results/reports/."""
        if self.name == PAPER:
            return f"{PAPER}-{scale}"
        return f"{experiment}-{scale}" if self.name == "ablation" else f"{experiment}-{scale}-{self.name}"


NOTEBOOKS = {
    notebook.name: notebook
    for notebook in (
        Notebook("ablation", "ablation"),
        Notebook("prototypes", "prototypes", ("prototypes", "redundancy", "coefficients")),
        Notebook("partition", "partition and place", ("responses", "probes")),
        Notebook("errors", "errors", ("errors", "leakage")),
        Notebook("stability", "stability", ("stability",)),
        Notebook("speed", "speed", ("speed",)),
        Notebook(PAPER, "the paper"),
    )
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook, as its first cell declares it."""

    name: str
    default: Any
    help: str


def parameters(notebook: Path) -> dict[str, Parameter]:
    """The parameters of a notebook in their order.

    Raises:
        ParameterError: the notebook is not there.
    """
    import papermill  # slow to import

    if not notebook.is_file():
        raise ParameterError(f"{notebook}: no such notebook; reports need the project's checkout (`pip install -e .`)")
    return {
        name: Parameter(name, ast.literal_eval(found["default"]), found["help"])
        for name, found in papermill.inspect_notebook(notebook).items()
    }


def checked(notebook: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a notebook's parameters, each of its default's type: papermill itself only warns, and takes any type.

    Args:
        given: {name: value}; text is read as a number or as true or false where the parameter is one.

    Raises:
        ParameterError: the notebook has no such parameter, or the value is of another type.
    """
    known = parameters(notebook)
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise ParameterError(f"{notebook.name} has no parameter {name!r}{hint} It has: {', '.join(known)}")
    return {name: _typed(notebook, known[name], value) for name, value in given.items()}


def _typed(notebook: Path, parameter: Parameter, value: Any) -> Any:
    wanted = type(parameter.default)
    try:
        if isinstance(value, str) and wanted is bool:
            return {"true": True, "false": False}[value.lower()]
        if isinstance(value, str) and wanted is not str:
            return wanted(value)
    except (ValueError, KeyError):
        raise _wrong_type(notebook, parameter, value) from None
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise _wrong_type(notebook, parameter, value)
    return value


def _wrong_type(notebook: Path, parameter: Parameter, value: Any) -> ParameterError:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}[type(parameter.default)]
    return ParameterError(f"{notebook.name}: {parameter.name} ({parameter.help}) takes {words}, not {value!r}")
