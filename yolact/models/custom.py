"""Classes and functions of the user's own, given by import path."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar

from yolact.config.base import ConfigError

T = TypeVar("T")


def construct(path: str, field: str, interface: type[T], arguments: tuple[Any, ...], options: Mapping[str, Any]) -> T:
    """Call what "package.module:Name" names.

    Args:
        path: the import path.
        field: of the configuration, for the error.
        interface: class that the result must be an instance of.
        arguments: positional arguments, which every implementation gets.
        options: keyword arguments from the configuration.

    Raises:
        ConfigError: it can't be imported, doesn't take these options, or returns something else than an `interface`.
    """
    module, _, name = path.partition(":")
    try:
        call = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{field} {path!r} can't be imported: {error}", field) from None
    try:
        signature(call).bind(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"{field} {path!r} can't be called with options {dict(options)}: {error}", field) from None
    made = call(*arguments, **options)
    if not isinstance(made, interface):
        wanted = f"{interface.__module__}.{interface.__qualname__}"
        raise ConfigError(f"{field} {path!r} returns a {type(made).__name__}; it must return a {wanted}", field)
    return made
