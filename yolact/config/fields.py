"""Fields of configuration classes: their common types, marks for planning, and how to find the fields of a class."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, Field, JsonValue
from pydantic.fields import FieldInfo

Path = tuple[str, ...]
M = TypeVar("M")
Positive = Annotated[int, Field(gt=0)]
Side = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
CUSTOM = "package.module:Name"
"""In place of the `kind` of a class of the user's own, which is its import path."""


def import_path(path: str) -> str:
    """The path, if it has the form of an import path; nothing is imported."""
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", path):
        raise ValueError(f"{path!r} is no import path such as {CUSTOM}")
    return path


def _finite(options: dict[str, JsonValue]) -> dict[str, JsonValue]:
    open_: list[Any] = [options]
    while open_:
        value = open_.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        open_ += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return options


ImportPath = Annotated[str, AfterValidator(import_path)]
"""Where a class or function of the user's own is imported from. Validation checks its form only and imports nothing."""
Options = Annotated[dict[str, JsonValue], AfterValidator(_finite), Field(exclude_if=lambda options: not options)]
"""Keyword arguments for what an import path names; plain data leaves them out where there are none."""


@dataclass(frozen=True)
class ScalesWith:
    """Marks lengths that are given for one value of another field, and grow in proportion to it."""

    field: str
    """A field of the nearest enclosing class that has one of this name."""


@dataclass(frozen=True)
class HasStandIn:
    """Marks a choice that a scale may replace by a smaller one."""

    table: str
    """The field of a scale's `stand_ins` that says by which."""


@dataclass(frozen=True)
class FilePath:
    """Marks a path on this machine, which enters an id by the digest of what it names."""

    words: tuple[str, ...] = ()
    """Values that are no path."""
    folder: bool = False
    """Whether a folder may be named as well as a file."""


@dataclass(frozen=True)
class AfterNetwork:
    """Marks a field that changes what is made of a network's outputs, but not the outputs."""


def configs_in(annotation: Any) -> list[type[BaseModel]]:
    """The configuration classes that a field's annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [config for part in getattr(annotation, "__args__", ()) for config in configs_in(part)]


def kind_of_class(cls: type[BaseModel]) -> str | None:
    """The `kind` of a class that is one choice of several, `CUSTOM` for the class of every import path; None of any other."""
    found = cls.model_fields.get("kind")
    return None if found is None else CUSTOM if found.is_required() else found.default


def kinds_in(annotation: Any) -> dict[str, type[BaseModel]]:
    """{kind: class} of a union whose classes tell themselves apart by `kind`, {} of any other annotation."""
    return {kind: cls for cls in configs_in(annotation) if (kind := kind_of_class(cls)) is not None}


def fields_of(cls: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, FieldInfo]]:
    """Every field with its path; one of a union's classes may have a path that another has too."""
    for name, field in cls.model_fields.items():
        yield (*path, name), field
        for inner in configs_in(field.annotation):
            yield from fields_of(inner, (*path, name))


def fields_at(cls: type[BaseModel], path: Path) -> list[FieldInfo]:
    """The fields of this path, one of each class of a union that has it; [] where none has."""
    classes, found = [cls], []
    for name in path:
        found = [each.model_fields[name] for each in classes if name in each.model_fields]
        classes = [inner for field in found for inner in configs_in(field.annotation)]
    return found


@cache
def marked(cls: type[BaseModel], mark: type[M]) -> dict[Path, M]:
    """{path: mark} of the fields that bear a mark of this class."""
    return {path: found for path, field in fields_of(cls) for found in field.metadata if isinstance(found, mark)}
