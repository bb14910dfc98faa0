"""The paper's printed numbers (`paper.yaml`), and those that belong to a spec's variants."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from experiments.spec.document import SpecError, read_document
from experiments.spec.schema import LoadedScale, LoadedSpec, SpecAtScale, load_scale, names
from experiments.spec.variants import Variant, reference_of, variants_of
from experiments.store.metrics import METRICS, metrics_of
from yolact.config import Config
from yolact.config.base import nearest


class Row(Config):
    """One printed row."""

    label: str = ""
    """The method, for tables of methods that are not run here."""
    values: dict[str, float]
    """{metric: value}, AP in percent."""


class PrintedTable(Config):
    """One table, or the numbers of one section."""

    source: str
    """Place of publication and data set."""
    second_hand: str = ""
    """Source that tables name for rows of other methods, which this paper quotes."""
    rows: dict[str, Row]


class Paper(Config):
    """All printed numbers."""

    tables: dict[str, PrintedTable] = Field(min_length=1)


@cache
def paper() -> Paper:
    """The numbers of `paper.yaml`."""
    return read_document(Path(__file__).with_name("paper.yaml")).parse(Paper)


def printed(asked: SpecAtScale, variant: str) -> dict[str, float]:
    """The printed values of a variant, {metric: value}; {} if none."""
    spec = asked.spec.paper
    if spec is None:
        return {}
    found: dict[str, float] = {}
    for name in spec.rows.get(variant, ()):
        found |= _row(asked, ("paper", "rows", variant), name)[1].values
    chosen = found if spec.metrics is None else {metric: found[metric] for metric in spec.metrics if metric in found}
    return {**chosen, **spec.values.get(variant, {})}


def published(asked: SpecAtScale) -> list[dict[str, Any]]:
    """Label, source and values of each method that is not run here."""
    spec = asked.spec.paper
    if spec is None:
        return []
    rows = [_row(asked, ("paper", "published_rows"), name) for name in spec.published_rows]
    printed_rows = [
        {"label": row.label, "source": table.second_hand or table.source, "values": row.values} for table, row in rows
    ]
    return [*printed_rows, *(row.to_data() for row in spec.published)]


def _row(asked: SpecAtScale, where: tuple[str, ...], name: str) -> tuple[PrintedTable, Row]:
    known = {f"{table}.{row}": (found, found.rows[row]) for table, found in paper().tables.items() for row in found.rows}
    if name not in known:
        raise asked.document.error(where, f"paper: unknown row {name!r}{nearest(name, list(known))}")
    return known[name]


def check_names(spec: LoadedSpec, asked: SpecAtScale, variants: list[Variant]) -> None:
    """Check the names that a spec uses for variants, rows and metrics.

    Call it after variants are resolved: a grid's misspelt field misnames its variants too.

    Raises:
        SpecError: an unknown reference or scale, paper values of an unknown variant, row or metric, an unknown headline metric.
    """
    document, found = asked.document, asked.spec.paper
    if found is not None:
        valid = sorted({variant.name for variant in variants} | _elsewhere(spec, asked.scale))
        for part, entries in (("rows", found.rows), ("values", found.values)):
            for variant in entries:
                if variant not in valid:
                    hint = nearest(variant, valid)
                    raise document.error(("paper", part, variant), f"paper: unknown variant {variant!r}{hint}")
                printed(asked, variant)
        for variant, values in found.values.items():
            _check_metrics(asked, ("paper", "values", variant), values)
        for place, row in enumerate(found.published):
            _check_metrics(asked, ("paper", "published", str(place), "values"), row.values)
        _check_metrics(asked, ("paper", "metrics"), found.metrics or ())
    _check_metrics(asked, ("headline",), asked.spec.headline)
    scales = {*names("scales"), asked.scale.name}
    for name, body in asked.spec.variants.items():
        for scale in body.scales or ():
            if scale not in scales:
                where = ("variants", name, "scales")
                raise document.error(where, f"{'.'.join(where)}: unknown scale {scale!r}{nearest(scale, sorted(scales))}")
    reference_of(asked, variants)


def _elsewhere(spec: LoadedSpec, scale: LoadedScale) -> set[str]:
    """Names of the spec's variants at the other scales; a scale at which the spec is wrong has none."""
    found: set[str] = set()
    for name in names("scales"):
        if name != scale.name:
            try:
                found |= {variant.name for variant in variants_of(spec.at(load_scale(name)))}
            except SpecError:
                continue
    return found


def _check_metrics(asked: SpecAtScale, where: tuple[str, ...], metrics: Iterable[str]) -> None:
    known = [*METRICS, *(metric.name for measure in asked.outside().values() for metric in metrics_of(measure))]
    for metric in metrics:
        if metric not in known:
            hint = nearest(metric, known)
            raise asked.document.error((*where, metric), f"{where[0]}: unknown metric {metric!r}{hint}")
