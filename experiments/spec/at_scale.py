"""Choose a scale's values in a raw document, before it is validated.

A value per scale, `{toy: 8, paper: 32}`, is allowed wherever the schema expects a value that is not a mapping. Every mapping in
such a place is read as a value per scale, and each of its keys must be a scale. Mappings in other places are never read so.
Hence the set of existing scales never changes how a spec is read.
"""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from experiments.spec.document import Document
from yolact.config import Config
from yolact.config.base import nearest
from yolact.config.fields import configs_in, fields_at, fields_of

Path = tuple[str, ...]


_SETTINGS = "settings"
Settings = Annotated[dict[str, Any], _SETTINGS]
"""{dotted field of a run's configuration: value}, or nested mappings, or both."""


def at_scale(document: Document, cls: type[Config], run: type[Config], scale: str, known: Collection[str]) -> Document:
    """The document with the values of one scale; each line is that of the chosen value.

    Args:
        cls: class that the document is parsed as afterwards.
        run: run configuration; `Settings` name its fields.
        known: names of all scales.

    Raises:
        SpecError: a key of a value per scale is not a scale, or the scale lacks a required value.
    """
    reader = _Reader(document, run, scale, known)
    data = reader.fields(document.data, cls, ())
    return Document(document.path, data, {**document.lines, **reader.lines})


def schema_at_scales(cls: type[Config]) -> dict[str, Any]:
    """The JSON schema of `cls` in files: with a value per scale wherever one is allowed."""
    schema = cls.model_json_schema()
    classes = {cls: schema} | {inner: schema["$defs"][inner.__name__] for _, field in fields_of(cls)
                               for inner in configs_in(field.annotation)}  # fmt: skip
    for each, written in classes.items():
        for name, field in each.model_fields.items():
            place, key, annotation = written["properties"], name, field.annotation
            while get_origin(annotation) is dict and "additionalProperties" in place[key]:
                place, key, annotation = place[key], "additionalProperties", get_args(annotation)[1]
            if (get_origin(annotation) is not tuple and configs_in(annotation)) or _may_be_mapping(annotation):
                continue
            about = {word: place[key][word] for word in ("title", "description", "default") if word in place[key]}
            one = {word: value for word, value in place[key].items() if word not in about}
            per_scale = {"type": "object", "additionalProperties": one, "minProperties": 1}
            place[key] = {**about, "anyOf": [one, per_scale]}
    return schema


class _Absent:
    """Placeholder for a value that the scale leaves unchanged."""


class _Reader:
    def __init__(self, document: Document, run: type[Config], scale: str, known: Collection[str]) -> None:
        self.document, self.run, self.scale, self.known = document, run, scale, known
        self.lines: dict[Path, int] = {}

    def fields(self, data: Mapping[str, Any], cls: type[BaseModel], at: Path) -> dict[str, Any]:
        """A mapping of the fields of a class."""
        found = {}
        for key, value in data.items():
            field = cls.model_fields.get(key)
            inner = value if field is None else self.value(value, field.annotation, field.metadata, (*at, key))
            if inner is _Absent and field is not None and field.is_required():
                raise self.missing((*at, key))
            if inner is not _Absent:
                found[key] = inner
        return found

    def value(self, value: Any, annotation: Any, metadata: list[Any], at: Path) -> Any:
        """The value at a place of this type, at the scale."""
        if not isinstance(value, Mapping) or not value:
            return value
        if _SETTINGS in metadata:
            return self.settings(value, (), at)
        if get_origin(annotation) is dict:
            return self.entries(value, get_args(annotation)[1], at)
        if get_origin(annotation) is not tuple and (classes := configs_in(annotation)):
            return self.fields(value, classes[0], at)
        return value if _may_be_mapping(annotation) else self.choose(value, at)

    def entries(self, data: Mapping[str, Any], annotation: Any, at: Path) -> dict[str, Any]:
        """A mapping of free keys."""
        found = {}
        for key, value in data.items():
            found[key] = self.value(value, annotation, [], (*at, key))
            if found[key] is _Absent:
                raise self.missing((*at, key))
        return found

    def settings(self, data: Mapping[str, Any], path: Path, at: Path) -> dict[str, Any]:
        """A mapping of dotted fields to values."""
        found = {}
        for key, value in data.items():
            inner, where = (*path, *key.split(".")), (*at, key)
            fields = fields_at(self.run, inner)
            if isinstance(value, Mapping) and value and fields:
                value = self.setting(value, fields, inner, where)
            if value is not _Absent:
                found[key] = value
        return found

    def setting(self, value: Mapping[str, Any], fields: list[FieldInfo], path: Path, at: Path) -> Any:
        if any(configs_in(field.annotation) for field in fields):
            return self.settings(value, path, at)
        return value if any(_may_be_mapping(field.annotation) for field in fields) else self.choose(value, at)

    def choose(self, value: Mapping[str, Any], at: Path) -> Any:
        """The scale's value of a value per scale."""
        for key in value:
            if key not in self.known:
                raise self.document.error((*at, key), f"{'.'.join(at)}: no scale {key!r}{nearest(key, sorted(self.known))}")
        if self.scale not in value:
            return _Absent
        inside = (*at, self.scale)
        self.lines |= {(*at, *path[len(inside) :]): line for path, line in self.document.lines.items()
                       if path[: len(inside)] == inside}  # fmt: skip
        return value[self.scale]

    def missing(self, at: Path) -> Exception:
        return self.document.error(at, f"{'.'.join(at)}: no value for scale {self.scale!r}")


def _may_be_mapping(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _may_be_mapping(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_may_be_mapping(part) for part in get_args(annotation))
    return annotation in (Any, JsonValue) or get_origin(annotation) is dict
