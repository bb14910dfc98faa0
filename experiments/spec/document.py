"""YAML documents with the line of each value, for error messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from yolact.config import Config, ConfigError
from yolact.errors import UserError

C = TypeVar("C", bound=Config)
_KINDS = {type(None): "found nothing", list: "found a list", str: "found text"}


class SpecError(UserError):
    """A spec, a scale or a setting is wrong. The message begins with file and line."""


@dataclass(frozen=True)
class Document:
    """Plain data with its source file and line numbers."""

    path: Path
    data: dict[str, Any]
    lines: dict[tuple[str, ...], int]
    """Line, from 1, of each key; a path consists of keys and, for lists, positions as text."""

    def place(self, path: Sequence[str] = ()) -> str:
        """`file:line` of the value at `path`, or of the nearest value around it."""
        keys = tuple(path)
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return f"{self.path}:{self.lines.get(keys, 1)}"

    def error(self, path: Sequence[str], message: str) -> SpecError:
        """An error about the value at `path`."""
        return SpecError(f"{self.place(path)}: {message}")

    def parse(self, cls: type[C]) -> C:
        """The document as a value of `cls`.

        Raises:
            SpecError: naming file, line and field.
        """
        try:
            return cls.from_data(self.data)
        except ConfigError as error:
            raise self.error(self._split(error.field), str(error)) from None

    def _split(self, field: str) -> tuple[str, ...]:
        """Split a dotted path into keys; keys may themselves contain dots."""
        parts = field.split(".")
        keys: tuple[str, ...] = ()
        while parts:
            for size in range(len(parts), 0, -1):
                if (*keys, ".".join(parts[:size])) in self.lines:
                    break
            keys, parts = (*keys, ".".join(parts[:size])), parts[size:]
        return keys


def read_document(path: Path) -> Document:
    """Read one YAML mapping.

    Raises:
        SpecError: the file cannot be read, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    try:
        data = _load(text)
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{path}:{line}: {_first_line(error.problem)}") from None
    except (YAMLError, ValueError) as error:
        raise SpecError(f"{path}: is not YAML: {_first_line(str(error))}") from None
    if not isinstance(data, dict):
        raise SpecError(f"{path}:1: expected a mapping of fields (`title: ...`), {_KINDS.get(type(data), 'found one value')}")
    document = Document(path, _text_keys(data), {})
    _collect_lines(node, (), document.lines)
    return document


def parse_scalar(text: str) -> Any:
    """Parse a value as YAML: numbers, true, null, lists such as [1, 2]; anything else is text."""
    try:
        return _load(text)
    except (YAMLError, ValueError) as error:
        raise SpecError(f"{text!r} is not a YAML value: {_first_line(str(error))}") from None


class _Constructor(SafeConstructor):
    """Constructs only plain data: no field is a date, so 2026-11-20 is text."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", SafeConstructor.construct_yaml_str)


def _load(text: str) -> Any:
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = _Constructor
    return reader.load(text)


def _collect_lines(node: Node, path: tuple[str, ...], lines: dict[tuple[str, ...], int]) -> None:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            inner = (*path, str(key.value))
            lines[inner] = key.start_mark.line + 1
            _collect_lines(value, inner, lines)
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            inner = (*path, str(index))
            lines[inner] = value.start_mark.line + 1
            _collect_lines(value, inner, lines)


def _text_keys(data: Any) -> Any:
    """The same data with every key as text: YAML reads the key `550` as a number."""
    if isinstance(data, dict):
        return {str(key): _text_keys(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_text_keys(value) for value in data]
    return data


def _first_line(message: str | None) -> str:
    return (message or "not valid YAML").strip().splitlines()[0]
