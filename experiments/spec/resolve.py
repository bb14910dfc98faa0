"""Resolution of a spec at a scale into one `RunConfig` per variant: preset, scale, spec, variant, `--set`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.spec.config import RunConfig
from experiments.spec.document import SpecError, parse_scalar
from experiments.spec.layers import Layer, Layers
from experiments.spec.schema import SpecAtScale
from experiments.spec.tree import changed, flatten, value_at
from experiments.spec.variants import Setting, Variant, settings_of
from yolact.config import ConfigError
from yolact.config.presets import preset


@dataclass(frozen=True)
class Resolved:
    """A run's configuration with the origin of each field."""

    config: RunConfig
    origins: Mapping[str, str]
    """{dotted field: origin}; a missing field has its default."""
    stand_ins: Mapping[str, str]
    """{the paper's choice: its replacement}."""
    changes: Mapping[str, Any]
    """{dotted field: value} set by the variant and its own preset, with stand-ins applied."""


def resolve(asked: SpecAtScale, variant: Variant, extra: Iterable[Setting] = ()) -> Resolved:
    """Resolve the configuration of one variant.

    Raises:
        SpecError: naming file, line, field and, for a name, the nearest valid one.
    """
    layers = Layers(asked.scale, asked.config)
    start = _preset(asked, variant.preset, ("variants", variant.name, "preset"))
    layers.lay(Layer.PRESET, f"preset {variant.preset}", [Setting(path, value, "") for path, value in flatten(start).items()])
    layers.lay_scale()
    layers.lay(Layer.SPEC, "spec", settings_of(asked.document, ("base",)))
    if variant.keep_anchors:
        layers.fit_lengths()
    layers.lay(Layer.VARIANT, f"variant {variant.name}", variant.settings)
    layers.lay(Layer.COMMAND, "--set", tuple(extra))
    if not variant.keep_anchors:
        layers.fit_lengths()
    config = layers.validate(variant.name)
    origins = {".".join(path): str(origin) for path, origin in layers.origins.items()}
    own = [setting.path for setting in variant.settings]
    if variant.preset != asked.spec.preset:
        differs = changed(_preset(asked, asked.spec.preset, ("preset",)), start)
        own = [*(path for path in differs if path in layers.origins and layers.origins[path].layer is Layer.PRESET), *own]
    data = config.to_data()
    return Resolved(config, origins, dict(layers.stand_ins), {".".join(path): value_at(data, path) for path in own})


def parse_setting(text: str) -> Setting:
    """Parse `field=value` from the command line, the value as YAML.

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


def _preset(asked: SpecAtScale, name: str, written_at: tuple[str, ...]) -> dict[str, Any]:
    try:
        found = preset(name)
    except ConfigError as error:
        where = written_at if value_at(asked.document.data, written_at) == name else ("preset",)
        raise asked.document.error(where, f"preset: {error}") from None
    return {part: getattr(found, part).to_data() for part in ("model", "training", "inference")}
