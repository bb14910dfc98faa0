"""What a question looks like on disk (`experiments/specs/*.yaml`) and how big it is asked (`experiments/scales/*.yaml`).

Wherever a spec gives the value of a field, `{toy: 8, paper: 32}` gives it per scale; a scale that is not named leaves the
field as it was (a grid must name it). Fields are dotted paths of `RunConfig`, or nested mappings, or both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from experiments.spec.document import Document, SpecError, read_document
from yolact.config import Config
from yolact.config.base import nearest
from yolact.measures import IMPORT_PATH, NAMES, UnknownMeasure, declaration
from yolact.measures.declaration import Measure

HERE = Path(__file__).parents[1]
MOST_SEED = 2**63 - 1
"""The largest that torch's generators take."""
Seeds = tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...]
Settings = dict[str, Any]
MEASURED = ("coco", "speed", *NAMES)
"""Kinds of stages that measure something of a trained network."""


def _measured(name: str) -> str:
    if name not in MEASURED and not re.fullmatch(IMPORT_PATH, name):
        raise ValueError(f"unknown measure {name!r}{nearest(name, list(MEASURED))}")
    return name


Measured = Annotated[
    str,
    AfterValidator(_measured),
    WithJsonSchema({"anyOf": [{"enum": list(MEASURED)}, {"type": "string", "pattern": f"^({IMPORT_PATH})$"}]}),
]
"""One of MEASURED, or the import path of a measure's declaration (`yolact.measures.declaration.Measure`)."""


class VariantSpec(Config):
    """One named way to answer."""

    label: str | dict[str, str] | None = None
    """How tables call it, per scale where that differs; None takes its name."""
    scales: tuple[str, ...] | None = None
    """Scales at which it is asked; None: all."""
    keep_anchors: bool = False
    """Leave the anchors at the sizes that fit the base's input when the variant changes the input's size."""
    set: Settings = Field(default_factory=dict)
    """Fields that differ from the base."""


class PublishedRow(Config):
    """A method that is not run here, with what its authors or the paper print; tables mark it as published."""

    label: str
    source: str = ""
    """Where it was published, if not where the other values were."""
    values: dict[str, float]
    """{metric: value}, as in `PaperSpec.values`."""


class PaperSpec(Config):
    """What the paper printed, to stand beside our numbers."""

    source: str
    """Table and data, such as "Table 2b, COCO val2017"."""
    note: str = ""
    values: dict[str, dict[str, float]] = Field(default_factory=dict)
    """{variant: {metric: value}}, metrics as in `docs/architecture.md`: AP in percent."""
    published: tuple[PublishedRow, ...] = ()
    """Other methods of the same table."""


class Spec(Config):
    """A question."""

    title: str
    question: str
    preset: str = "yolact_base"
    """The published configuration to start from (`yolact/config/presets.py`)."""
    reference: str | dict[str, str]
    """The variant that changes are measured against; per scale where its name differs."""
    measure: tuple[Measured, ...] = ("coco",)
    """Kinds of stages to run beside training, or measures by import path; what they need is added."""
    headline: Annotated[tuple[str, ...], Field(min_length=1)] = ("mask_AP", "fps")
    """Metrics that get a table of their own; the first is the one that answers the question."""
    data: str | dict[str, str] | None = None
    """Data set in place of the scale's; per scale where that differs."""
    seeds: Seeds | dict[str, Seeds] | None = None
    """Seeds of each variant; None takes the scale's."""
    base: Settings = Field(default_factory=dict)
    """Fields of every variant."""
    variants: dict[str, VariantSpec] = Field(default_factory=dict)
    grid: dict[str, Any] = Field(default_factory=dict)
    """{field: values}: every combination is a variant, named such as `k=8`."""
    paper: PaperSpec | None = None


class StandIns(Config):
    """What replaces the paper's choices at a smaller scale; every table names it."""

    backbones: dict[str, str] = Field(default_factory=dict)
    image_sizes: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)


class Scale(Config):
    """How big a question is asked."""

    title: str
    data: str
    """Name of the data set; `--data` puts another in its place."""
    seeds: Seeds
    stand_ins: StandIns = StandIns()
    set: Settings = Field(default_factory=dict)
    """Fields, laid over the preset's."""
    by_kind: dict[str, dict[str, Settings]] = Field(default_factory=dict)
    """{union such as `model` or `model.mask_branch`: {kind: fields inside it}}, laid over whichever kind is in force."""


@dataclass(frozen=True)
class Loaded:
    """A spec or scale with its name and the lines it stands on."""

    name: str
    document: Document


@dataclass(frozen=True)
class LoadedSpec(Loaded):
    spec: Spec

    def outside(self) -> dict[str, Measure]:
        """{import path: declaration} of its measures from outside the package.

        Raises:
            SpecError: an import path leads to no measure.
        """
        found = {}
        for place, name in enumerate(self.spec.measure):
            if name not in MEASURED:
                try:
                    found[name] = declaration(name)
                except UnknownMeasure as error:
                    raise self.document.error(("measure", str(place)), f"measure: {error}") from None
        return found


@dataclass(frozen=True)
class LoadedScale(Loaded):
    scale: Scale


def load_spec(name: str) -> LoadedSpec:
    """Read a spec by its name, or by the path of its file.

    Raises:
        SpecError: unknown, or wrong; the message names file, line and field.
    """
    document = read_document(find("specs", name))
    spec = document.parse(Spec)
    if not spec.variants and not spec.grid:
        raise document.error((), "a spec needs `variants` or a `grid`")
    return LoadedSpec(document.path.stem, document, spec)


def load_scale(name: str) -> LoadedScale:
    """Read a scale by its name, or by the path of its file; raises like `load_spec`."""
    document = read_document(find("scales", name))
    return LoadedScale(document.path.stem, document, document.parse(Scale))


def names(room: str) -> list[str]:
    """What `experiments/<room>/` offers, for example room "specs"."""
    return sorted(path.stem for path in (HERE / room).glob("*.yaml"))


def find(room: str, name: str) -> Path:
    """The file of a name, or the file itself when `name` is a path ending in .yaml.

    Raises:
        SpecError: there is none.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise SpecError(f"{name}: is a folder, not a file" if Path(name).is_dir() else f"{name}: no such file")
        return Path(name)
    if name not in names(room):
        raise SpecError(f"unknown {room.removesuffix('s')} {name!r}{nearest(name, names(room))}")
    return _shown(HERE / room / f"{name}.yaml")


def at_scale(value: Any, scale: str, known: Mapping[str, Any] | list[str]) -> tuple[bool, Any]:
    """(given?, value) of a value that may be a mapping by scale."""
    if isinstance(value, Mapping) and value and all(key in known for key in value):
        return scale in value, value.get(scale)
    return True, value


def _shown(path: Path) -> Path:
    """The path relative to the working folder where that is shorter to read."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
