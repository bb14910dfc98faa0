"""Variants of a spec at a scale: the named ones, then every combination of its grid."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.spec.document import Document
from experiments.spec.schema import SpecAtScale
from experiments.spec.tree import Path, value_at
from yolact.config.base import nearest


@dataclass(frozen=True)
class Setting:
    """One field with its value and origin."""

    path: Path
    value: Any
    place: str
    """`file:line`, or `--set`."""

    @property
    def field(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True)
class Variant:
    name: str
    label: str
    settings: tuple[Setting, ...]
    preset: str
    keep_anchors: bool = False


def settings_of(document: Document, at: Path) -> tuple[Setting, ...]:
    """The settings written in the mapping at a path of a document.

    Raises:
        SpecError: a field is given twice, once dotted and once nested.
    """
    found: dict[Path, Setting] = {}

    def collect(data: Mapping[str, Any], at: Path, path: Path) -> None:
        for key, value in data.items():
            inner, where = (*path, *key.split(".")), (*at, key)
            if isinstance(value, Mapping):
                collect(value, where, inner)
            elif inner in found:
                raise document.error(where, f"{'.'.join(inner)} is given twice, first at {found[inner].place}")
            else:
                found[inner] = Setting(inner, value, document.place(where))

    collect(value_at(document.data, at) or {}, at, ())
    return tuple(found.values())


def variants_of(asked: SpecAtScale) -> list[Variant]:
    """The variants at this scale, in the spec's order.

    Raises:
        SpecError: a grid repeats a value, or two variants have the same name.
    """
    spec, variants = asked.spec, []
    for name, body in spec.variants.items():
        if body.scales is None or asked.scale.name in body.scales:
            settings = settings_of(asked.document, ("variants", name, "set"))
            variants.append(Variant(name, body.label or name, settings, body.preset or spec.preset, body.keep_anchors))
    for variant in _grid(asked):
        if variant.name in spec.variants:
            raise asked.document.error(("grid",), f"the grid makes a variant {variant.name!r}, which `variants` names too")
        variants.append(variant)
    return variants


def reference_of(asked: SpecAtScale, variants: list[Variant]) -> str:
    """The name of the reference variant."""
    name, valid = asked.spec.reference, [variant.name for variant in variants]
    if name not in valid:
        raise asked.document.error(("reference",), f"reference: unknown variant {name!r}{nearest(name, valid)}")
    return name


def seeds_of(asked: SpecAtScale) -> tuple[int, ...]:
    """The spec's seeds, or else the scale's."""
    chosen = asked.scale.scale.seeds if asked.spec.seeds is None else asked.spec.seeds
    if not chosen or len(set(chosen)) != len(chosen):
        raise asked.document.error(("seeds",), f"seeds: expected one or more different seeds, got {list(chosen)}")
    return chosen


def data_of(asked: SpecAtScale) -> str:
    """The name of the data set that the spec uses."""
    return asked.spec.data or asked.scale.scale.data


def _grid(asked: SpecAtScale) -> list[Variant]:
    axes = [_axis(asked.document, field, values) for field, values in asked.spec.grid.items()]
    if not axes:
        return []
    short = _short_names([axis[0].path for axis in axes])
    return [
        Variant(name, name, combination, asked.spec.preset)
        for combination in itertools.product(*axes)
        for name in [",".join(f"{short[setting.path]}={_text(setting.value)}" for setting in combination)]
    ]


def _axis(document: Document, field: str, values: Sequence[Any]) -> list[Setting]:
    path = tuple(field.split("."))
    axis: list[Setting] = []
    for place, value in enumerate(values):
        if any(value == earlier.value and isinstance(value, bool) == isinstance(earlier.value, bool) for earlier in axis):
            raise document.error(("grid", field, str(place)), f"grid: {field}: {_text(value)} is given twice")
        axis.append(Setting(path, value, document.place(("grid", field, str(place)))))
    return axis


def _short_names(paths: Sequence[Path]) -> dict[Path, str]:
    """{path: its shortest unique suffix}, such as `lr` of `training.lr`."""

    def short(path: Path) -> str:
        for size in range(1, len(path)):
            if sum(other[-size:] == path[-size:] for other in paths) == 1:
                return ".".join(path[-size:])
        return ".".join(path)

    return {path: short(path) for path in paths}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
