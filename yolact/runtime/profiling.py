"""Named parts of a model's work, so that a clock can time each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Sections = Callable[[str], AbstractContextManager[None]]
"""`with sections("backbone"): ...` brackets one named part."""


def no_sections(name: str) -> AbstractContextManager[None]:
    """Times nothing."""
    return nullcontext()
