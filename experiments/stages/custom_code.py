"""Custom code, named in a configuration by import path "package.module:name". Nothing is imported here.

The files of an import path enter the id of the stage that names it, are stored with its sources, and are copied
to a cluster:

* for a module in a package: every .py file of its outermost package;
* for a module in folders without __init__.py: every .py file of its folder;
* for a single module, an installed module (site-packages) or a module of this project: only its own file, without other
  modules that it imports.
"""

from __future__ import annotations

import ast
import importlib
import os
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments.store.folder import Store
from yolact.errors import UserError
from yolact.runtime.files import digest_of_contents

IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_NAMING = ("kind", "name")
"""Fields whose value may be an import path."""


class CustomCodeError(UserError):
    """Code named by import path is missing, or differs from the planned code."""


@dataclass(frozen=True)
class CustomCode:
    """The code of one import path."""

    files: Mapping[str, bytes]
    """{path relative to the folder that it is imported from: content}"""
    installed: bool
    """Whether it belongs to an installed package or to this project, and so needs no copy."""

    @property
    def digest(self) -> str:
        return digest_of_contents(self.files)


def custom_code(reference: str, field: str = "") -> CustomCode:
    """The code of an import path.

    Raises:
        CustomCodeError: the module does not exist or does not define the name; the message names `field`.
    """
    module, _, name = reference.partition(":")
    path = _locate(module, f"{field}: " if field else "")
    defined = _names(path)
    if defined is not None and name not in defined:
        raise CustomCodeError(f"{field or reference}: {path} defines no {name!r}")
    parts = module.split(".")
    root = path.parents[len(parts) - (path.name != "__init__.py")]
    installed = _is_installed(path)
    files = [path] if installed else _files(root, path, parts)
    return CustomCode({file.relative_to(root).as_posix(): file.read_bytes() for file in files}, installed)


def code_digests(fields: Mapping[str, Any]) -> dict[str, str]:
    """{import path: digest of its code} for every import path in a stage's fields.

    Raises:
        CustomCodeError: as `custom_code`.
    """
    return {reference: custom_code(reference, field).digest for reference, field in _references(fields, "")}


def planned_code(store: Store, record: Mapping[str, Any]) -> dict[str, str]:
    """{import path: digest when planned} of the code that a recorded stage runs, including that of its inputs."""
    inputs = [store.stage(needed).record for needed in record["inputs"].values() if store.has(needed)]
    return {reference: digest for each in (*inputs, record) for reference, digest in each.get("code", {}).items()}


def expect_code(planned: Mapping[str, str]) -> dict[str, bytes]:
    """The files of planned code.

    Raises:
        CustomCodeError: the code has changed since, or no longer exists.
    """
    found = {reference: custom_code(reference) for reference in planned}
    for reference, code in found.items():
        if code.digest != planned[reference]:
            raise CustomCodeError(f"the code of {reference} has changed since the stage was planned; plan and run it again")
    return {name: content for code in found.values() for name, content in code.files.items()}


def import_from_working_directory() -> None:
    """Append the working directory to sys.path, so that import paths resolve to the same modules in every process."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())


def _references(value: Any, at: str) -> Iterator[tuple[str, str]]:
    """(import path, dotted field) of each import path. The `options` of custom code are not searched."""
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        field = f"{at}.{name}" if at else name
        if isinstance(inner, str) and name in _NAMING and IMPORT_PATH.fullmatch(inner):
            yield inner, field
        elif name != "options":
            yield from _references(inner, field)


def _locate(module: str, prefix: str) -> Path:
    """The file of a module. Its parent packages are not imported, because that may take long or need a GPU."""
    importlib.invalidate_caches()
    parts = module.split(".")
    try:
        spec = find_spec(parts[0])
    except ValueError:  # a module that was made by hand
        spec = None
    for end in range(2, len(parts) + 1):
        folders = spec.submodule_search_locations if spec is not None else None
        spec = PathFinder.find_spec(".".join(parts[:end]), list(folders)) if folders else None
    if spec is None or not spec.has_location or spec.origin is None:
        raise CustomCodeError(
            f"{prefix}no module {module!r} in the working directory ({os.getcwd()}), on PYTHONPATH or installed; "
            "give the command where it lies, or install it"
        )
    return Path(spec.origin).absolute()


def _names(path: Path) -> set[str] | None:
    """Names that a module defines or imports at its top level; None if its text doesn't determine them."""
    if path.suffix != ".py":
        return None
    try:
        pending: list[ast.AST] = list(ast.parse(path.read_bytes()).body)
    except SyntaxError as error:
        raise CustomCodeError(f"{path}:{error.lineno}: {error.msg}") from None
    found: set[str] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        else:
            pending += ast.iter_child_nodes(node)
    return None if found & {"*", "__getattr__"} else found


def _is_installed(path: Path) -> bool:
    project = [Path(__file__).parents[2] / name for name in ("yolact", "experiments")]
    folders = [*project, *(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))]
    return any(path.is_relative_to(folder) for folder in folders)


def _files(root: Path, path: Path, parts: list[str]) -> list[Path]:
    folders = [root.joinpath(*parts[:end]) for end in range(1, len(parts) + 1)]
    package = next((folder for folder in folders if (folder / "__init__.py").is_file()), None)
    if package is not None:
        return sorted(package.rglob("*.py"))
    return sorted(path.parent.glob("*.py")) if len(parts) > 1 else [path]
