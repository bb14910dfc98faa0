"""The common class of every configuration value: immutable, strict, unknown fields refused."""

from __future__ import annotations

import difflib
import json
import re
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticCustomError

from yolact.config.fields import CUSTOM, configs_in, fields_of, kind_of_class
from yolact.errors import UserError


class ConfigError(UserError, ValueError):
    """A configuration value that the user wrote is wrong.

    Args:
        field: dotted path of the value, "" for the whole.
        fields: dotted paths of the fields at odds, where the fault lies between several.
    """

    def __init__(self, message: str, field: str = "", fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.fields = fields or (field,)


def at_odds(message: str, *fields: str) -> PydanticCustomError:
    """What a validator raises of fields that don't fit each other, named by their paths inside the value it validates."""
    return PydanticCustomError("at_odds", "{message}", {"message": message, "fields": fields})


class Config(BaseModel):
    """An immutable, validated value. Build one from plain data with `from_data`, change one with `replace`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """Validate plain data (what YAML or JSON gives).

        Raises:
            ConfigError: naming the first wrong field, what is wrong with it, and the nearest valid name.
        """
        try:
            return cls.model_validate_json(json.dumps(data))
        except ValidationError as error:
            raise _explain(cls, error) from None
        except TypeError as error:
            raise ConfigError(f"{cls.__name__} is not plain data: {error}") from None

    def to_data(self) -> dict[str, Any]:
        """The value as plain data (dicts, lists, numbers, strings, None), with every default filled in."""
        return self.model_dump(mode="json")

    def essence(self, plain: dict[str, Any] | None = None) -> dict[str, Any]:
        """`to_data` without the fields that hold their default: what an id hashes, so that a field that is added later with a
        default that changes nothing leaves every id as it was. `kind` always stays, for it says whose fields these are.

        Args:
            plain: `to_data()` of this value, if it is at hand.
        """
        plain = self.to_data() if plain is None else plain
        kept = {}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if name == "kind" or field.is_required() or value != field.get_default(call_default_factory=True):
                kept[name] = value.essence(plain[name]) if isinstance(value, Config) else plain[name]
        return kept

    def replace(self, **fields: Any) -> Self:
        """A copy with these top-level fields changed, validated again."""
        changed = {name: value.to_data() if isinstance(value, Config) else value for name, value in fields.items()}
        return self.from_data({**self.to_data(), **changed})


def nearest(name: str, valid: list[str]) -> str:
    """A hint such as `, did you mean 'iterations'?`, or the list of valid names when none is close.

    Names that hold a comma are listed one per line.
    """
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    if close:
        return f", did you mean {close[0]!r}?"
    if any("," in each for each in valid):
        return "; valid names:" + "".join(f"\n  {each}" for each in sorted(valid))
    return f"; valid names: {', '.join(sorted(valid))}"


def _explain(cls: type[Config], error: ValidationError) -> ConfigError:
    problems = error.errors(include_url=False)
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])
    path = [str(part) for part in first["loc"]]
    owner, plain = _follow(cls, path)
    field, context = ".".join(plain), first.get("ctx", {})
    if first["type"] == "union_tag_not_found":
        return ConfigError(f"{field}.kind: is missing", f"{field}.kind")
    if first["type"] == "union_tag_invalid":
        valid = re.findall(r"'([^']+)'", context["expected_tags"])
        return ConfigError(f"{field}.kind: unknown kind {context['tag']!r}{nearest(context['tag'], valid)}", f"{field}.kind")
    if first["type"] == "extra_forbidden":
        hint = _elsewhere(owner, path[-1]) or nearest(path[-1], sorted(owner.model_fields)) if owner else ""
        return ConfigError(f"{field}: unknown field {path[-1]!r}{hint}", field)
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "at_odds":
        inside = f"{field}." if field else ""
        return ConfigError(f"{field or cls.__name__}: {message}", field, tuple(inside + name for name in context["fields"]))
    given = f", got {first['input']!r}" if first["type"] != "missing" and not isinstance(first["input"], dict) else ""
    return ConfigError(f"{field or cls.__name__}: {message}{given}{_nearest_choice(first)}", field)


def _elsewhere(owner: type[BaseModel], name: str) -> str:
    """`, did you mean 'training.lr'?` where fields inside `owner`'s have this name."""
    found = dict.fromkeys(".".join(path) for path, _ in fields_of(owner) if path[-1] == name and len(path) > 1)
    return f", did you mean {' or '.join(map(repr, found))}?" if found else ""


def _nearest_choice(problem: Any) -> str:
    """`, did you mean 'fast'?` where one of a few words was expected and another came."""
    context = problem.get("ctx", {})
    given = problem["input"]
    expected = re.findall(r"'([^']+)'", str(context.get("expected", "")))
    close = difflib.get_close_matches(given, expected, n=1, cutoff=0.6) if isinstance(given, str) else []
    return f", did you mean {close[0]!r}?" if close else ""


def _follow(cls: type[BaseModel], path: list[str]) -> tuple[type[BaseModel] | None, list[str]]:
    """The class that owns the last part of a pydantic error path, and the path without pydantic's union tags."""
    owner: type[BaseModel] | None = cls
    plain: list[str] = []
    candidates: list[type[BaseModel]] = []
    for index, part in enumerate(path):
        tagged = [c for c in candidates if kind_of_class(c) == part]
        if candidates and tagged:
            owner, candidates = tagged[0], []
            continue
        plain.append(part)
        if owner is not None and index < len(path) - 1:
            found = owner.model_fields.get(part)
            if found is None:  # a key or a place inside a container of `owner`s
                continue
            candidates = configs_in(found.annotation)
            owner = candidates[0] if candidates else None
            candidates = candidates if len(candidates) > 1 else []
    return owner, plain


def kind_of(value: Any) -> str | None:
    """The discriminator of a union whose last choice is given by import path: the value's `kind`, or `CUSTOM`."""
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind is None else CUSTOM if ":" in str(kind) else str(kind)
