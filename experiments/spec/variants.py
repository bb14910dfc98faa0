"""The variants of a spec at a scale: the named ones, then every combination of its grid."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.spec.document import Document
from experiments.spec.schema import LoadedScale, LoadedSpec, Seeds, at_scale, names
from experiments.store.metrics import METRICS, metrics_of
from yolact.config.base import nearest


@dataclass(frozen=True)
class Setting:
    """One field given a value."""

    path: tuple[str, ...]
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
    keep_anchors: bool = False


def settings_of(document: Document, at: tuple[str, ...], scale: str, scales: list[str]) -> tuple[Setting, ...]:
    """The settings written in the mapping that stands at the path `at` of a document.

    Raises:
        SpecError: one field is given twice, once dotted and once nested.
    """
    data: Any = document.data
    for key in at:
        data = data.get(key) or {}
    found: dict[tuple[str, ...], Setting] = {}
    _collect(document, data, at, (), scale, scales, found)
    return tuple(found.values())


def _collect(document, data, at, path, scale, scales, found) -> None:
    for key, value in data.items():
        inner, where = (*path, *key.split(".")), (*at, key)
        given, value = at_scale(value, scale, scales)
        if not given:
            continue
        if isinstance(value, Mapping):
            _collect(document, value, where, inner, scale, scales, found)
        elif inner in found:
            raise document.error(where, f"{'.'.join(inner)} is given twice, first at {found[inner].place}")
        else:
            found[inner] = Setting(inner, value, document.place(where))


def scale_names(scale: LoadedScale) -> list[str]:
    """Names that may key a value per scale."""
    return sorted({*names("scales"), scale.name})


def variants_of(loaded: LoadedSpec, scale: LoadedScale) -> list[Variant]:
    """The variants at this scale, in the spec's order.

    Raises:
        SpecError: a grid without values at this scale, or two variants of one name.
    """
    return _at(loaded, scale.name, scale_names(scale))


def check_names(loaded: LoadedSpec, scale: LoadedScale, variants: list[Variant]) -> None:
    """Check what a spec says of its variants. After they are resolved: a grid's misspelt field misnames its variants too.

    Raises:
        SpecError: an unknown reference, or paper values of an unknown variant or metric; an unknown scale or headline metric.
    """
    known = scale_names(scale)
    everywhere = {v.name for name in known for v in _at(loaded, name, known, strict=False)}
    _check_paper(loaded, sorted(everywhere))
    _check_keys(loaded, known)
    reference_of(loaded, scale, variants)


def reference_of(loaded: LoadedSpec, scale: LoadedScale, variants: list[Variant]) -> str:
    """The name of the reference variant at this scale."""
    given, name = at_scale(loaded.spec.reference, scale.name, scale_names(scale))
    if not given or not isinstance(name, str):
        raise loaded.document.error(("reference",), f"reference: no variant given for scale {scale.name!r}")
    valid = [variant.name for variant in variants]
    if name not in valid:
        raise loaded.document.error(("reference",), f"reference: unknown variant {name!r}{nearest(name, valid)}")
    return name


def seeds_of(loaded: LoadedSpec, scale: LoadedScale) -> Seeds:
    """The spec's seeds at this scale, or else the scale's."""
    seeds = loaded.spec.seeds
    chosen = seeds.get(scale.name, scale.scale.seeds) if isinstance(seeds, dict) else seeds or scale.scale.seeds
    if not chosen or len(set(chosen)) != len(chosen):
        raise loaded.document.error(("seeds",), f"seeds: expected one or more different seeds, got {list(chosen)}")
    return chosen


def data_of(loaded: LoadedSpec, scale: LoadedScale) -> str:
    """The name of the data set that the spec is asked on at this scale."""
    given = loaded.spec.data
    return given.get(scale.name, scale.scale.data) if isinstance(given, dict) else given or scale.scale.data


def _at(loaded: LoadedSpec, scale: str, known: list[str], strict: bool = True) -> list[Variant]:
    document, spec = loaded.document, loaded.spec
    variants = []
    for name, body in spec.variants.items():
        if body.scales is not None and scale not in body.scales:
            continue
        _, label = at_scale(body.label, scale, known)
        settings = settings_of(document, ("variants", name, "set"), scale, known)
        variants.append(Variant(name, label or name, settings, body.keep_anchors))
    for variant in _grid(loaded, scale, known, strict):
        if variant.name in spec.variants:
            raise document.error(("grid",), f"the grid makes a variant {variant.name!r}, which `variants` names too")
        variants.append(variant)
    return variants


def _grid(loaded: LoadedSpec, scale: str, known: list[str], strict: bool) -> list[Variant]:
    axes = []
    for field, given in loaded.spec.grid.items():
        present, values = at_scale(given, scale, known)
        if not present and not strict:
            return []
        if not present or not isinstance(values, list) or not values:
            raise loaded.document.error(("grid", field), _grid_fault(field, given, scale, known))
        place = loaded.document.place(("grid", field))
        axes.append([Setting(tuple(field.split(".")), value, place) for value in values])
    if not axes:
        return []
    return [
        Variant(name, name, combination)
        for combination in itertools.product(*axes)
        for name in [", ".join(f"{setting.path[-1]}={_text(setting.value)}" for setting in combination)]
    ]


def _grid_fault(field: str, given: Any, scale: str, known: list[str]) -> str:
    unknown = [key for key in given if key not in known] if isinstance(given, Mapping) else []
    if unknown:
        return f"grid: {field}: unknown scale {unknown[0]!r}{nearest(unknown[0], known)}"
    return f"grid: {field}: expected a list of values, or such a list for scale {scale!r}"


def _check_paper(loaded: LoadedSpec, valid: list[str]) -> None:
    for variant, values in (loaded.spec.paper.values if loaded.spec.paper else {}).items():
        where = ("paper", "values", variant)
        if variant not in valid:
            raise loaded.document.error(where, f"paper: unknown variant {variant!r}{nearest(variant, valid)}")
        _check_metrics(loaded, where, values)
    for place, row in enumerate(loaded.spec.paper.published if loaded.spec.paper else ()):
        _check_metrics(loaded, ("paper", "published", str(place), "values"), row.values)


def _check_metrics(loaded: LoadedSpec, where: tuple[str, ...], metrics: Iterable[str]) -> None:
    known = [*METRICS, *(metric.name for measure in loaded.outside().values() for metric in metrics_of(measure))]
    for metric in metrics:
        if metric not in known:
            hint = nearest(metric, known)
            raise loaded.document.error((*where, metric), f"{where[0]}: unknown metric {metric!r}{hint}")


def _check_keys(loaded: LoadedSpec, scales: list[str]) -> None:
    _check_metrics(loaded, ("headline",), loaded.spec.headline)
    named = [
        (("variants", name, "scales"), scale) for name, body in loaded.spec.variants.items() for scale in body.scales or ()
    ]
    keyed = loaded.spec.data if isinstance(loaded.spec.data, Mapping) else {}
    for where, scale in (*named, *((("data", scale), scale) for scale in keyed)):
        if scale not in scales:
            raise loaded.document.error(where, f"{'.'.join(where)}: unknown scale {scale!r}{nearest(scale, scales)}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
