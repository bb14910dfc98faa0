"""File formats of specs (`experiments/specs/*.yaml`), the questions, and of scales (`experiments/scales/*.yaml`), their sizes.

Fields of a run are dotted paths of `RunConfig`, or nested mappings, or both. A value of a spec may be given per scale
(`experiments/spec/at_scale.py`); a scale that is not named leaves the field unchanged.
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
"""The default scale of commands, and the first in lists."""
MOST_SEED = 2**63 - 1
"""The largest seed that torch's generators accept."""
Seeds = tuple[Annotated[int, Field(ge=0, le=MOST_SEED)], ...]
MEASURED = ("coco", "speed", *NAMES)
"""Kinds of stages that measure a trained network."""
RESERVED = (*MEASURED, *RunConfig.model_fields, "train", "predict", "split", "declaration")
"""Names not allowed for measures from outside: those of stage kinds and of other fields."""


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
    """One named variant."""

    label: str | None = None
    """Its label in tables; None takes its name."""
    scales: tuple[str, ...] | None = None
    """Scales at which it runs; None: all."""
    preset: str | None = None
    """The published configuration to start from; None takes the spec's."""
    keep_anchors: bool = False
    """Keep the anchor sizes that fit the base's input if the variant changes the input's size."""
    set: Settings = Field(default_factory=dict)
    """Fields that differ from the base."""


class PublishedRow(Config):
    """A method that is not run here, with values from its authors or the paper; tables mark it as published."""

    label: str
    source: str = ""
    """Its publication, if not that of the other values."""
    values: dict[str, float]
    """{metric: value}, as in `PaperSpec.values`."""


class PaperSpec(Config):
    """Values printed in the paper, for comparison with ours."""

    source: str
    """Table and data, such as "Table 2b, COCO val2017"."""
    note: str = ""
    rows: dict[str, Rows] = Field(default_factory=dict)
    """{variant: a row of `experiments/spec/paper.yaml`, such as `table1.yolact-400-r101`, or several: later values win}."""
    metrics: tuple[str, ...] | None = None
    """Metrics of the rows to show beside ours; None: all."""
    values: dict[str, dict[str, float]] = Field(default_factory=dict)
    """{variant: {metric: value}} for numbers that are in no row, metrics as in `docs/architecture.md`: AP in percent."""
    published_rows: tuple[str, ...] = ()
    """Rows of `experiments/spec/paper.yaml` of methods that are not run here."""
    published: tuple[PublishedRow, ...] = ()
    """Methods that are not run here, with numbers that are in no row."""


class Spec(Config):
    """A question."""

    title: str
    question: str
    preset: str = "yolact_base"
    """The published configuration to start from (`yolact/config/presets/`)."""
    reference: str
    """The variant that changes are measured against."""
    measure: tuple[Measured, ...] = ("coco",)
    """Kinds of stages to run after training, or measures by import path; their inputs are added."""
    headline: Annotated[tuple[str, ...], Field(min_length=1)] = ("mask_AP", "fps")
    """Metrics of the headline table; the first one answers the question."""
    data: str | None = None
    """Data set that replaces the scale's."""
    seeds: Seeds | None = None
    """Seeds of each variant; None takes the scale's."""
    base: Settings = Field(default_factory=dict)
    """Fields of every variant."""
    variants: dict[str, VariantSpec] = Field(default_factory=dict)
    grid: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """{field: values}: every combination is a variant, named such as `k=8,lr=0.001`. Every scale needs values."""
    paper: PaperSpec | None = None


class StandIns(Config):
    """Replacements of the paper's choices at a smaller scale; every table names them."""

    backbones: dict[str, str] = Field(default_factory=dict)
    image_sizes: dict[str, Annotated[int, Field(gt=0)]] = Field(default_factory=dict)


class Scale(Config):
    """Size at which specs are run."""

    title: str
    data: str
    """Name of the data set; `--data` replaces it."""
    seeds: Seeds
    stand_ins: StandIns = StandIns()
    set: Settings = Field(default_factory=dict)
    """Fields that override the preset's."""
    by_kind: dict[str, dict[str, Settings]] = Field(default_factory=dict)
    """{union such as `model` or `model.mask_branch`: {kind: fields inside it}}, applied for the current kind."""


@dataclass(frozen=True)
class LoadedScale:
    """A scale with its name and the line of each value."""

    name: str
    document: Document
    scale: Scale


@dataclass(frozen=True)
class SpecAtScale:
    """A spec with the values of one scale."""

    name: str
    document: Document
    """With the values of the scale."""
    spec: Spec
    scale: LoadedScale

    def outside(self) -> dict[str, Measure]:
        """{import path: declaration} of its measures from outside the package.

        Raises:
            SpecError: an import path names no measure, or one whose name is taken.
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
        """Class of its run configurations."""
        return run_config(tuple(self.outside()))


@dataclass(frozen=True)
class LoadedSpec:
    """A spec as written, for every scale."""

    name: str
    document: Document

    @property
    def title(self) -> str:
        return str(self.document.data.get("title", self.name))

    def at(self, scale: LoadedScale) -> SpecAtScale:
        """The spec with the values of one scale.

        Raises:
            SpecError: the spec is wrong; the message names file, line and field.
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
        SpecError: the name is unknown, or the file is not a YAML mapping. `LoadedSpec.at` validates the content.
    """
    document = read_document(find("specs", name))
    return LoadedSpec(document.path.stem, document)


def load_scale(name: str) -> LoadedScale:
    """Read a scale by its name, or by the path of its file.

    Raises:
        SpecError: the name is unknown, or the scale is wrong; the message names file, line and field.
    """
    document = read_document(find("scales", name))
    return LoadedScale(document.path.stem, document, document.parse(Scale))


def names(room: str) -> list[str]:
    """Names of the files in `experiments/<room>/`, such as room "specs"; the default scale comes first."""
    return sorted((path.stem for path in (HERE / room).glob("*.yaml")), key=lambda name: (name != DEFAULT_SCALE, name))


def find(room: str, name: str) -> Path:
    """The file of a name, or the file itself if `name` is a path ending in .yaml.

    Raises:
        SpecError: the file does not exist.
    """
    if name.endswith((".yaml", ".yml")):
        if not Path(name).is_file():
            raise SpecError(f"{name}: is a folder, not a file" if Path(name).is_dir() else f"{name}: no such file")
        return Path(name)
    if name not in names(room):
        raise SpecError(f"unknown {room.removesuffix('s')} {name!r}{nearest(name, names(room))}")
    return _shown(HERE / room / f"{name}.yaml")


def _shown(path: Path) -> Path:
    """The path, relative to the working folder if inside it."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
