"""What a question looks like on disk (`experiments/specs/*.yaml`) and how big it is asked (`experiments/scales/*.yaml`).

Fields of a run are dotted paths of `RunConfig`, or nested mappings, or both. A value of a spec may be given per scale
(`experiments/spec/at_scale.py`); a scale that is not named leaves the field as it was.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema

from experiments.spec.at_scale import Settings, at_scale
from experiments.spec.config import RunConfig, run_config
from experiments.spec.document import Document, SpecError, read_document
from yolact.config import Config
from yolact.config.base import nearest
from yolact.measures import IMPORT_PATH, NAMES, UnknownMeasure, declaration
from yolact.measures.declaration import Measure

HERE = Path(__file__).parents[1]
DEFAULT_SCALE = "toy"
"""The scale of commands that name none, and the first in lists."""
MOST_SEED = 2**63 - 1
"""The largest that torch's generators take."""
Seeds = tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...]
MEASURED = ("coco", "speed", *NAMES)
"""Kinds of stages that measure something of a trained network."""
RESERVED = (*MEASURED, *RunConfig.model_fields, "train", "predict", "split", "declaration")
"""Names that a measure from outside can't have: of stage kinds, and of fields beside its own."""


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


def _one_or_more(rows: Any) -> Any:
    return (rows,) if isinstance(rows, str) else tuple(rows) if isinstance(rows, list) else rows


Rows = Annotated[tuple[str, ...], BeforeValidator(_one_or_more, json_schema_input_type=str | tuple[str, ...])]


class VariantSpec(Config):
    """One named way to answer."""

    label: str | None = None
    """How tables call it; None takes its name."""
    scales: tuple[str, ...] | None = None
    """Scales at which it is asked; None: all."""
    preset: str | None = None
    """The published configuration to start from; None takes the spec's."""
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
    rows: dict[str, Rows] = Field(default_factory=dict)
    """{variant: a row of `experiments/spec/paper.yaml`, such as `table1.yolact-400-r101`, or several: later values win}."""
    metrics: tuple[str, ...] | None = None
    """Those of the rows that stand beside ours; None: all."""
    values: dict[str, dict[str, float]] = Field(default_factory=dict)
    """{variant: {metric: value}} of numbers that no row has, metrics as in `docs/architecture.md`: AP in percent."""
    published_rows: tuple[str, ...] = ()
    """Rows of `experiments/spec/paper.yaml` of methods that are not run here."""
    published: tuple[PublishedRow, ...] = ()
    """Methods that are not run here, with numbers that no row has."""


class Spec(Config):
    """A question."""

    title: str
    question: str
    preset: str = "yolact_base"
    """The published configuration to start from (`yolact/config/presets.py`)."""
    reference: str
    """The variant that changes are measured against."""
    measure: tuple[Measured, ...] = ("coco",)
    """Kinds of stages to run beside training, or measures by import path; what they need is added."""
    headline: Annotated[tuple[str, ...], Field(min_length=1)] = ("mask_AP", "fps")
    """Metrics that get a table of their own; the first is the one that answers the question."""
    data: str | None = None
    """Data set in place of the scale's."""
    seeds: Seeds | None = None
    """Seeds of each variant; None takes the scale's."""
    base: Settings = Field(default_factory=dict)
    """Fields of every variant."""
    variants: dict[str, VariantSpec] = Field(default_factory=dict)
    grid: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """{field: values}: every combination is a variant, named such as `k=8,lr=0.001`. Every scale needs values."""
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
class LoadedScale:
    """A scale with its name and the lines that its values are on."""

    name: str
    document: Document
    scale: Scale


@dataclass(frozen=True)
class SpecAtScale:
    """What a spec asks at one scale."""

    name: str
    document: Document
    """With the values of the scale."""
    spec: Spec
    scale: LoadedScale

    def outside(self) -> dict[str, Measure]:
        """{import path: declaration} of its measures from outside the package.

        Raises:
            SpecError: an import path leads to no measure, or to one whose name is taken.
        """
        found: dict[str, Measure] = {}
        for place, name in enumerate(self.spec.measure):
            if name not in MEASURED:
                try:
                    found[name] = declaration(name)
                except UnknownMeasure as error:
                    raise self.document.error(("measure", str(place)), f"measure: {error}") from None
                taken = {*RESERVED, *(one.name for path, one in found.items() if path != name)}
                if found[name].name in taken or not found[name].name.isidentifier():
                    fault = f"measure {name!r} is called {found[name].name!r}, a name that is taken or no identifier; change it"
                    raise self.document.error(("measure", str(place)), f"measure: {fault}")
        return found

    @property
    def config(self) -> type[RunConfig]:
        """What its fields are fields of."""
        return run_config(tuple(self.outside()))


@dataclass(frozen=True)
class LoadedSpec:
    """A spec as it is written, for every scale."""

    name: str
    document: Document

    @property
    def title(self) -> str:
        return str(self.document.data.get("title", self.name))

    def at(self, scale: LoadedScale) -> SpecAtScale:
        """The spec with the values of one scale.

        Raises:
            SpecError: it is wrong; the message names file, line and field.
        """
        found = self._with_fields_of(run_config(), scale)
        if found.outside():
            found = self._with_fields_of(found.config, scale)
        if not found.spec.variants and not found.spec.grid:
            raise found.document.error((), "a spec needs `variants` or a `grid`")
        return found

    def _with_fields_of(self, config: type[RunConfig], scale: LoadedScale) -> SpecAtScale:
        document = at_scale(self.document, Spec, config, scale.name, sorted({*names("scales"), scale.name}))
        return SpecAtScale(self.name, document, document.parse(Spec), scale)


def load_spec(name: str) -> LoadedSpec:
    """Read a spec by its name, or by the path of its file.

    Raises:
        SpecError: unknown, or no YAML mapping. What is in it is validated by `LoadedSpec.at`.
    """
    document = read_document(find("specs", name))
    return LoadedSpec(document.path.stem, document)


def load_scale(name: str) -> LoadedScale:
    """Read a scale by its name, or by the path of its file.

    Raises:
        SpecError: unknown, or wrong; the message names file, line and field.
    """
    document = read_document(find("scales", name))
    return LoadedScale(document.path.stem, document, document.parse(Scale))


def names(room: str) -> list[str]:
    """Names of the files in `experiments/<room>/`, such as room "specs"; the default scale comes first."""
    return sorted((path.stem for path in (HERE / room).glob("*.yaml")), key=lambda name: (name != DEFAULT_SCALE, name))


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


def _shown(path: Path) -> Path:
    """The path relative to the working folder if it lies inside."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
