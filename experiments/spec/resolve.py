"""From layers of settings to one `RunConfig`: preset, scale, spec base, variant, `--set`, each laid over the one before.

Three rules beside plain overriding. A new `kind` replaces the whole branch by that kind's defaults and the scale's
`by_kind` fields. Stand-ins replace the backbones and image sizes that preset and spec name. Anchors given for one image
size are scaled to the size in force, each side cut to an integer, as the official code does; a variant may keep its base's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.spec.config import RunConfig, run_config
from experiments.spec.document import SpecError, parse_scalar
from experiments.spec.schema import LoadedScale, LoadedSpec, Scale
from experiments.spec.variants import Setting, Variant, scale_names, settings_of
from yolact.config import Config, ConfigError
from yolact.config.base import CUSTOM, configs_in, kind_of_class
from yolact.errors import UserError

SIZE = ("model", "image_size")
ANCHORS = (("model", "anchors", "scales"), ("model", "anchor_sizes"))


@dataclass(frozen=True)
class Resolved:
    """A run's configuration and where each field came from."""

    config: RunConfig
    origins: Mapping[str, str]
    """{dotted field: origin}; a field that is not here has its default."""
    stand_ins: Mapping[str, str]
    """{the paper's choice: what replaced it}."""


def resolve(spec: LoadedSpec, scale: LoadedScale, variant: Variant, extra: Iterable[Setting] = ()) -> Resolved:
    """The configuration of one variant at one scale.

    Raises:
        SpecError: naming file, line, field and, for a name, the nearest valid one.
    """
    known = scale_names(scale)
    layers = _Layers(scale, run_config(tuple(spec.outside())))
    layers.lay(f"preset {spec.spec.preset}", _preset(spec), mapped=True)
    layers.lay_scale(settings_of(scale.document, ("set",), scale.name, known))
    layers.lay("spec", settings_of(spec.document, ("base",), scale.name, known), mapped=True)
    if variant.keep_anchors:
        layers.scale_anchors()
    layers.lay(f"variant {variant.name}", variant.settings, mapped=True)
    layers.lay("--set", tuple(extra), mapped=False)
    if not variant.keep_anchors:
        layers.scale_anchors()
    return Resolved(layers.validate(variant), layers.origins(), dict(layers.stand_ins))


def parse_setting(text: str) -> Setting:
    """`field=value` from the command line, the value read as YAML.

    Raises:
        SpecError: there is no `=`, or the value is not YAML.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SpecError(f"--set {text}: expected field=value, such as training.lr=0.005")
    try:
        return Setting(tuple(name.strip().split(".")), parse_scalar(value), f"--set {text}")
    except SpecError as error:
        raise SpecError(f"--set {text}: {error}") from None


def flatten(data: Mapping[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Nested mappings as {path: leaf}."""
    leaves: dict[tuple[str, ...], Any] = {}
    for key, value in data.items():
        leaves |= flatten(value, (*path, key)) if isinstance(value, Mapping) else {(*path, key): value}
    return leaves


@dataclass
class _Layers:
    scale_file: LoadedScale
    config: type[RunConfig]
    values: dict[tuple[str, ...], Any] = field(default_factory=dict)
    places: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)
    """{path: (layer, file:line)}, in the order laid."""
    stand_ins: dict[str, str] = field(default_factory=dict)
    anchors_for: int = 0
    """The image size that the anchors in force were given for."""

    @property
    def scale(self) -> Scale:
        return self.scale_file.scale

    def lay(self, layer: str, settings: Iterable[Setting], mapped: bool) -> None:
        """Lay one layer over what is there; `mapped` puts stand-ins for its backbones and image sizes."""
        ordered = sorted(settings, key=lambda s: (s.path[-1] != "kind", len(s.path) if s.path[-1] == "kind" else 0))
        for setting in ordered:
            if setting.path[-1] == "kind" and self.values.get(setting.path) != setting.value:
                self._replace_branch(setting, layer)
            self._put(setting, layer, mapped)
        written = next((s.value for s in ordered if s.path == SIZE), self.values.get(SIZE))
        if any(s.path in ANCHORS for s in ordered) and isinstance(written, int):
            self.anchors_for = written

    def lay_scale(self, settings: Iterable[Setting]) -> None:
        """Lay the scale's fields, those for the kinds in force included."""
        layer = f"scale {self.scale_file.name}"
        self.lay(layer, settings, mapped=False)
        for union in self.scale.by_kind:
            self._lay_by_kind(tuple(union.split(".")), layer)

    def scale_anchors(self) -> None:
        """Fit the anchors to the image size in force."""
        size = self.values.get(SIZE)
        if not isinstance(size, int) or not self.anchors_for or size == self.anchors_for:
            return
        for path in ANCHORS:
            if path in self.values:
                self.values[path] = _scaled(self.values[path], size, self.anchors_for)
                self.places[path] = (f"scaled from {self.anchors_for} px", self.places[path][1])

    def validate(self, variant: Variant) -> RunConfig:
        try:
            return self.config.from_data(_nest(self.values))
        except ConfigError as error:
            place = self._blamed(error)
            raise SpecError(f"{place}: {error} (variant {variant.name!r})") from None

    def origins(self) -> dict[str, str]:
        return {
            ".".join(path): layer if not place or place.startswith("--set") else f"{layer} ({place})"
            for path, (layer, place) in self.places.items()
        }

    def _put(self, setting: Setting, layer: str, mapped: bool) -> None:
        path, value = setting.path, setting.value
        _check_room(self.values, setting)
        replaced = self._stand_in(path, value) if mapped else value
        if replaced != value:
            self.stand_ins[str(value)] = str(replaced)
            layer = f"{layer}, {replaced} standing in for {value}"
        self.values[path] = replaced
        self.places.pop(path, None)
        self.places[path] = (layer, setting.place)

    def _stand_in(self, path: tuple[str, ...], value: Any) -> Any:
        table: Mapping[str, Any] = {}
        if path == SIZE:
            table = self.scale.stand_ins.image_sizes
        elif path[-2:] == ("backbone", "name"):
            table = self.scale.stand_ins.backbones
        return table.get(str(value), value)

    def _replace_branch(self, setting: Setting, layer: str) -> None:
        branch = setting.path[:-1]
        kinds = _kinds(self.config, branch)
        kind = kinds.get(CUSTOM if ":" in str(setting.value) else str(setting.value))
        if kind is None:
            return
        for path in [path for path in self.values if path[: len(branch)] == branch]:
            del self.values[path]
            self.places.pop(path, None)
        defaults = tuple(Setting(path, value, "") for path, value in flatten(_defaults(kind), branch).items())
        origin = f"default of {setting.field}={setting.value}"
        for default in defaults:
            self._put(default, origin, mapped=True)
        if any(default.path in ANCHORS for default in defaults):
            self.anchors_for = next(d.value for d in defaults if d.path == SIZE)
        if not layer.startswith(("preset", "scale")):
            for union in self.scale.by_kind:
                path = tuple(union.split("."))
                if path[: len(branch)] == branch:
                    self._lay_by_kind(path, f"scale {self.scale_file.name}")

    def _lay_by_kind(self, union: tuple[str, ...], layer: str) -> None:
        kind = self.values.get((*union, "kind"))
        name = ".".join(union)
        if kind not in self.scale.by_kind.get(name, {}):
            return
        document = self.scale_file.document
        inner = settings_of(document, ("by_kind", name, kind), self.scale_file.name, scale_names(self.scale_file))
        self.lay(layer, tuple(Setting((*union, *s.path), s.value, s.place) for s in inner), mapped=False)

    def _blamed(self, error: ConfigError) -> str:
        """Where the field of an error was written; of one about several fields, the last one written of those it names."""
        owner = tuple(error.field.split(".")) if error.field else ()
        named = {(*owner, *name.split(".")) for name in re.findall(r"[a-z_]\w*(?:\.\w+)*", str(error))}
        written = [place for path, (_, place) in self.places.items() if path in named and place]
        return written[-1] if written else self._place(owner)

    def _place(self, path: tuple[str, ...]) -> str:
        """Where the value at `path`, or the last one laid inside or around it, was written."""
        for size in range(len(path), 0, -1):
            inside = [place for key, (_, place) in self.places.items() if key[:size] == path[:size] and place]
            if inside:
                return inside[-1]
        return str(self.scale_file.document.path)


def _preset(spec: LoadedSpec) -> tuple[Setting, ...]:
    from yolact.config.presets import preset

    try:
        found = preset(spec.spec.preset)
    except UserError as error:
        raise spec.document.error(("preset",), f"preset: {error}") from None
    plain = {name: getattr(found, name).to_data() for name in ("model", "training", "inference")}
    return tuple(Setting(path, value, "") for path, value in flatten(plain).items())


def _kinds(config: type[RunConfig], branch: tuple[str, ...]) -> dict[str, type[Config]]:
    """{kind: class} of a field that is a choice of several, {} of any other."""
    classes: list[type[Config]] = [config]
    for part in branch:
        fields = [cls.model_fields[part] for cls in classes if part in cls.model_fields]
        classes = [config for found in fields for config in configs_in(found.annotation)]
    return {kind: cls for cls in classes if (kind := kind_of_class(cls)) is not None}


def _defaults(cls: type[Config]) -> dict[str, Any]:
    """Every field that has a default, as plain data."""
    return cls.model_construct().model_dump(mode="json", warnings=False)


def _check_room(values: Mapping[tuple[str, ...], Any], setting: Setting) -> None:
    """A field cannot hold a value and other fields at once."""
    path = setting.path
    if any(len(known) > len(path) and known[: len(path)] == path for known in values):
        raise SpecError(f"{setting.place}: {setting.field} is a group of fields, got {setting.value!r}")
    for size in range(1, len(path)):
        if path[:size] in values:
            raise SpecError(f"{setting.place}: {'.'.join(path[:size])} is a value and holds no field {path[size]!r}")


def _nest(leaves: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        inner = tree
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = value
    return tree


def _scaled(value: Any, size: int, given_for: int) -> Any:
    if isinstance(value, list | tuple):
        return [_scaled(inner, size, given_for) for inner in value]
    return max(1, int(value * size / given_for))
