"""Access to nested plain data by path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]


def flatten(data: Mapping[str, Any], path: Path = ()) -> dict[Path, Any]:
    """Flatten nested mappings to {path: leaf}."""
    leaves: dict[Path, Any] = {}
    for key, value in data.items():
        leaves |= flatten(value, (*path, key)) if isinstance(value, Mapping) else {(*path, key): value}
    return leaves


def nest(leaves: Mapping[Path, Any]) -> dict[str, Any]:
    """Turn {path: leaf} into nested mappings."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        inner = tree
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return tree


def value_at(data: Any, path: Path) -> Any:
    """The value at a path; None if missing."""
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def with_value(data: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at an existing path."""
    first, *rest = path
    return {**data, first: with_value(data[first], tuple(rest), value) if rest else value}


def replaced(data: Any, table: Mapping[str, Any]) -> Any:
    """A copy in which each text that is a key of the table is replaced by its value."""
    if isinstance(data, dict):
        return {key: replaced(value, table) for key, value in data.items()}
    return table.get(data, data) if isinstance(data, str) else data


def changed(before: Mapping[str, Any], after: Mapping[str, Any], path: Path = ()) -> list[Path]:
    """Paths of the leaves of `after` that are missing or different in `before`; if the `kind` differs, only its path."""
    if before.get("kind") != after.get("kind"):
        return [(*path, "kind")]
    found: list[Path] = []
    for key, value in after.items():
        other = before.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            found += changed(other, value, (*path, key))
        elif value != other:
            found.append((*path, key))
    return found
