"""What can be wrong with a data set: one `Finding` per fault, and the error that a fault becomes when a run would start."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from yolact.errors import UserError


class DatasetError(UserError):
    """A data set cannot be used. The message names the file and the record and says what to do."""


@dataclass(frozen=True)
class Finding:
    """One fault of a data set. Errors stop a run before it starts; warnings don't."""

    level: Literal["error", "warning"]
    file: Path
    """The annotation file or the image the fault lies in."""
    record: str
    """Which record of it, such as "annotation 12 of image 5"; "" for the whole file."""
    what: str
    what_to_do: str

    def __str__(self) -> str:
        where = f"{self.file}: {self.record}" if self.record else str(self.file)
        return f"{where}: {self.what}; {self.what_to_do}"


@dataclass
class Findings:
    """Collects the findings of one file."""

    file: Path
    found: list[Finding] = field(default_factory=list)

    def error(self, record: str, what: str, what_to_do: str) -> None:
        self.found.append(Finding("error", self.file, record, what, what_to_do))

    def warning(self, record: str, what: str, what_to_do: str) -> None:
        self.found.append(Finding("warning", self.file, record, what, what_to_do))


def stop_on_errors(findings: Iterable[Finding]) -> None:
    """Do nothing where there are only warnings.

    Raises:
        DatasetError: the first error in full, and how many more there are.
    """
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return
    more = f" (and {len(errors) - 1} more errors: `yolact data check` lists them all)" if len(errors) > 1 else ""
    raise DatasetError(f"{errors[0]}{more}")
