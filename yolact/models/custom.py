"""Classes and functions of the user's own, given by import path."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from yolact.config.base import ConfigError


def imported(path: str, field: str) -> Any:
    """The object that "package.module:Name" names.

    Args:
        path: the import path.
        field: of the configuration, for the error.

    Raises:
        ConfigError: it can't be imported.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{field} {path!r} can't be imported: {error}", field) from None
