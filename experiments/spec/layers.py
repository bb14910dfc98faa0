"""Layers of settings, each overriding the one before, and four further rules.

A new `kind` replaces the whole branch by that kind's defaults and the scale's `by_kind` fields. A new `model.kind` also brings
the fields of inference that it needs (`inference_defaults`), where neither spec, variant nor command has given them. Stand-ins
replace the values that preset, spec and variant give to a field marked `HasStandIn`. Lengths marked `ScalesWith` are scaled to
the current value of the field that they scale with, each truncated to an integer, as the official code does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, get_args

from experiments.spec.config import RunConfig
from experiments.spec.document import SpecError
from experiments.spec.schema import LoadedScale
from experiments.spec.tree import Path, flatten, nest
from experiments.spec.variants import Setting, settings_of
from yolact.config import ConfigError
from yolact.config.fields import CUSTOM, HasStandIn, ScalesWith, configs_in, fields_at, fields_of, kinds_in, marked
from yolact.config.model import AnyModelConfig


class Layer(IntEnum):
    """Source of a value; later members override earlier ones."""

    PRESET = 1
    SCALE = 2
    SPEC = 3
    VARIANT = 4
    COMMAND = 5
    """`--set`."""


@dataclass(frozen=True)
class Origin:
    """Source of a field's value."""

    layer: Layer
    label: str
    place: str
    """`file:line` or `--set ...`; "" for a value that is in no file."""

    def __str__(self) -> str:
        return self.label if not self.place or self.layer is Layer.COMMAND else f"{self.label} ({self.place})"


_INFERENCE = "inference"
_DEFAULT = "default of "
"""Beginning of the labels of values that a kind brings."""
_STAND_INS = {path: mark.table for path, mark in marked(RunConfig, HasStandIn).items()}


def _scaled_fields() -> dict[Path, Path]:
    """{lengths: the field that they scale with}."""
    known = {path for path, _ in fields_of(RunConfig)}
    found = {}
    for path, mark in marked(RunConfig, ScalesWith).items():
        enclosing = [(*path[:size], mark.field) for size in range(len(path) - 1, -1, -1)]
        found[path] = next(other for other in enclosing if other in known)
    return found


_SCALED = _scaled_fields()


@dataclass
class Layers:
    """The current values of all fields, with their origins."""

    scale: LoadedScale
    config: type[RunConfig]
    values: dict[Path, Any] = field(default_factory=dict)
    origins: dict[Path, Origin] = field(default_factory=dict)
    """In the order applied."""
    stand_ins: dict[str, str] = field(default_factory=dict)
    given_for: dict[Path, int] = field(default_factory=dict)
    """{lengths: the value of the other field that they were given for}."""
    displaced: dict[Path, tuple[Any, Origin | None]] = field(default_factory=dict)
    """{field of inference: value and origin before the current `model.kind` brought its own}."""

    def lay(self, layer: Layer, label: str, settings: Iterable[Setting]) -> None:
        """Apply one layer over the current values."""
        ordered = _kinds_first(settings)
        for setting in ordered:
            if setting.path[-1] == "kind" and self.values.get(setting.path) != setting.value:
                self._replace_branch(setting, layer)
            self._put(setting, layer, label, mapped=layer not in (Layer.SCALE, Layer.COMMAND))
        for lengths, other in _SCALED.items():
            if any(setting.path == lengths for setting in ordered):
                self._note(lengths, next((s.value for s in ordered if s.path == other), self.values.get(other)))

    def lay_scale(self) -> None:
        """Apply the scale's fields, including those for the current kinds."""
        self.lay(Layer.SCALE, f"scale {self.scale.name}", settings_of(self.scale.document, ("set",)))
        for union in self.scale.scale.by_kind:
            self._lay_by_kind(union)

    def fit_lengths(self) -> None:
        """Scale lengths to the current value of the field that they scale with."""
        for lengths, other in _SCALED.items():
            size, given_for = self.values.get(other), self.given_for.get(lengths)
            if lengths in self.values and isinstance(size, int) and given_for and size != given_for:
                self.values[lengths] = _scaled(self.values[lengths], size, given_for)
                before = self.origins[lengths]
                self.origins[lengths] = Origin(before.layer, f"scaled from {given_for} px", before.place)

    def validate(self, variant: str) -> RunConfig:
        """The values as one configuration."""
        try:
            return self.config.from_data(nest(self.values))
        except ConfigError as error:
            raise SpecError(f"{self._blamed(error)}: {error} (variant {variant!r})") from None

    def _put(self, setting: Setting, layer: Layer, label: str, mapped: bool) -> None:
        """Set one field's value, or its stand-in if `mapped`."""
        path, value = setting.path, setting.value
        self._make_room(setting)
        if mapped:
            value = self._stand_in(path, value)
        if value != setting.value:
            self.stand_ins[str(setting.value)] = str(value)
            label = f"{label}, {value} standing in for {setting.value}"
        self.values[path] = value
        self.origins.pop(path, None)
        self.origins[path] = Origin(layer, label, setting.place)

    def _make_room(self, setting: Setting) -> None:
        """Refuse a field that has both a value and inner fields; null in the place of an optional group removes its fields, and
        a field of the group removes that null."""
        path = setting.path
        inner = [known for known in self.values if len(known) > len(path) and known[: len(path)] == path]
        if inner and not (setting.value is None and self._is_optional(path)):
            raise SpecError(f"{setting.place}: {setting.field} is a group of fields, got {setting.value!r}")
        outer = [path[:size] for size in range(1, len(path)) if path[:size] in self.values]
        for known in outer:
            if self.values[known] is not None or not self._is_optional(known):
                raise SpecError(f"{setting.place}: {'.'.join(known)} is a value and holds no field {path[len(known)]!r}")
        for known in (*inner, *outer):
            del self.values[known]
            self.origins.pop(known, None)

    def _is_optional(self, path: Path) -> bool:
        """Whether the field is a group of fields or null."""
        return any(
            type(None) in get_args(found.annotation) and configs_in(found.annotation) for found in fields_at(self.config, path)
        )

    def _stand_in(self, path: Path, value: Any) -> Any:
        table: Mapping[str, Any] = getattr(self.scale.scale.stand_ins, _STAND_INS[path]) if path in _STAND_INS else {}
        return table.get(str(value), value)

    def _note(self, lengths: Path, given_for: Any) -> None:
        if isinstance(given_for, int):
            self.given_for[lengths] = given_for

    def _replace_branch(self, setting: Setting, layer: Layer) -> None:
        branch, kind = setting.path[:-1], str(setting.value)
        kinds = {name: cls for found in fields_at(self.config, branch) for name, cls in kinds_in(found.annotation).items()}
        cls = kinds.get(CUSTOM if ":" in kind else kind)
        if cls is None:
            return
        for path in [path for path in self.values if path[: len(branch)] == branch]:
            del self.values[path]
            self.origins.pop(path, None)
        defaults = flatten(cls.model_construct().model_dump(mode="json", warnings=False), branch)
        for path, value in defaults.items():
            self._put(Setting(path, value, ""), layer, f"{_DEFAULT}{setting.field}={setting.value}", mapped=True)
        for lengths, other in _SCALED.items():
            if lengths in defaults:
                self._note(lengths, defaults[other])
        if issubclass(cls, AnyModelConfig):
            self._bring_inference(setting, cls, layer)
        if layer > Layer.SCALE:
            for union in self.scale.scale.by_kind:
                if tuple(union.split("."))[: len(branch)] == branch:
                    self._lay_by_kind(union)

    def _bring_inference(self, setting: Setting, cls: type[AnyModelConfig], layer: Layer) -> None:
        """Put a model's `inference_defaults` in the place of values of preset and scale; those of the model before it leave."""
        for path, (value, origin) in self.displaced.items():
            if path in self.origins and self.origins[path].label.startswith(_DEFAULT):
                del self.values[path], self.origins[path]
                if origin is not None:
                    self.values[path], self.origins[path] = value, origin
        self.displaced = {}
        for name, value in cls.inference_defaults.items():
            path = (_INFERENCE, name)
            before = self.origins.get(path)
            if before is None or before.layer <= Layer.SCALE:
                self.displaced[path] = self.values.get(path), before
                self._put(Setting(path, value, ""), layer, f"{_DEFAULT}{setting.field}={setting.value}", mapped=False)

    def _lay_by_kind(self, union: str) -> None:
        path = tuple(union.split("."))
        kind = self.values.get((*path, "kind"))
        if kind in self.scale.scale.by_kind.get(union, {}):
            inner = settings_of(self.scale.document, ("by_kind", union, kind))
            settings = [Setting((*path, *setting.path), setting.value, setting.place) for setting in inner]
            self.lay(Layer.SCALE, f"scale {self.scale.name}", settings)

    def _blamed(self, error: ConfigError) -> str:
        """Location of the field of an error; of several conflicting fields, the last one written."""
        named = {tuple(name.split(".")) for name in error.fields}
        written = [origin.place for path, origin in self.origins.items() if path in named and origin.place]
        return written[-1] if written else self._place(tuple(error.field.split(".")) if error.field else ())

    def _place(self, path: Path) -> str:
        """Location of the value at `path`, or of the last one applied inside or around it."""
        for size in range(len(path), 0, -1):
            inside = [origin.place for key, origin in self.origins.items() if key[:size] == path[:size] and origin.place]
            if inside:
                return inside[-1]
        return str(self.scale.document.path)


def _kinds_first(settings: Iterable[Setting]) -> list[Setting]:
    """Sort each `kind` before all other fields, outer ones first, because a kind replaces its whole branch."""
    kinds = [setting for setting in settings if setting.path[-1] == "kind"]
    others = [setting for setting in settings if setting.path[-1] != "kind"]
    return [*sorted(kinds, key=lambda setting: len(setting.path)), *others]


def _scaled(value: Any, size: int, given_for: int) -> Any:
    if isinstance(value, list | tuple):
        return [_scaled(inner, size, given_for) for inner in value]
    return max(1, int(value * size / given_for))
