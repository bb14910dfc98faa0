"""The Python files that decide what a graph computes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from torch import nn

_LIBRARIES = ("torch", "torchvision")
"""Their versions stand for their files."""


def sources(graph: nn.Module) -> list[Path]:
    """Files of the classes of the graph's modules, and of all that those files import from the same top-level packages."""
    names = {kind.__module__ for module in graph.modules() for kind in type(module).__mro__}
    waiting = [name for name in names if _top(name) not in (*_LIBRARIES, "builtins")]
    packages = {_top(name) for name in waiting} | {_top(__name__)}
    files: dict[str, Path] = {}
    while waiting:
        name = waiting.pop()
        file = getattr(sys.modules.get(name), "__file__", None)
        if name in files or file is None:
            continue
        files[name] = Path(file)
        waiting += [each for each in _imports(Path(file)) if _top(each) in packages]
    return sorted(set(files.values()))


def _top(module: str) -> str:
    return module.partition(".")[0]


@cache
def _imports(file: Path) -> tuple[str, ...]:
    """Names of the modules that a file imports, anywhere in it; of `from a import b` both a and a.b, whichever are modules."""
    if file.suffix != ".py":
        return ()
    return tuple(name for node in ast.walk(ast.parse(file.read_bytes())) for name in _named(node))


def _named(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
