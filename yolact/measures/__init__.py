"""Measures of what a trained network does, beyond its accuracy: one package each.

The package itself declares the measure (`declaration.Measure`) and imports no torch; `measure.py` beside it runs the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module

from yolact.config.base import nearest
from yolact.errors import UserError
from yolact.measures.declaration import Measure

NAMES = ("prototypes", "responses", "probes", "redundancy", "coefficients", "leakage", "errors", "stability")
"""Every measure of the package. A new one is a folder here and a word in this list."""
DECLARED = "MEASURE"
"""Name of the declaration in a measure's module."""
IMPORT_PATH = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:[A-Za-z_]\w*)?|[A-Za-z_]\w*:[A-Za-z_]\w*"
"""Form of the import path of a measure from outside: `package.module`, or `module:NAME` where it isn't called MEASURE."""


class UnknownMeasure(UserError, ValueError):  # noqa: N818 - named after what is wrong
    """There is no such measure, or what an import path names is none."""


@cache
def declaration(name: str) -> Measure:
    """The declaration of a measure of NAMES, or of one from outside, given by import path.

    Raises:
        UnknownMeasure: neither; the message says what was found.
    """
    if name in NAMES:
        return import_module(f"{__name__}.{name}").MEASURE
    if not re.fullmatch(IMPORT_PATH, name):
        raise UnknownMeasure(f"unknown measure {name!r}{nearest(name, list(NAMES))}, or an import path package.module:NAME")
    module, _, declared = name.partition(":")
    try:
        found = getattr(import_module(module), declared or DECLARED, None)
    except ImportError as error:
        raise UnknownMeasure(f"measure {name!r} can't be imported: {error}") from None
    if not isinstance(found, Measure):
        raise UnknownMeasure(
            f"measure {name!r}: {module} has no {declared or DECLARED} that is a yolact.measures.declaration.Measure"
        )
    return found


def declarations(names: Iterable[str] = NAMES) -> tuple[Measure, ...]:
    """Those of these measures, in their order."""
    return tuple(declaration(name) for name in names)
