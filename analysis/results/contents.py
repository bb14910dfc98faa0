"""What stands in result files. What is asked for and isn't there, or can't be read, is a hole in a report that says so."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from yolact.errors import UserError

_UNREADABLE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


class MissingResult(UserError):  # noqa: N818 (a hole in the results rather than a mistake)
    """A number or picture that was asked for was not made. The message is the reason, fit for a cell of a table."""


class MissingName(MissingResult, KeyError):  # noqa: N818 (as above)
    """A result file lacks something: a hole, and to those who ask whether it is there a KeyError as of any mapping."""

    __str__ = Exception.__str__  # a KeyError puts quotes around its message


class Contents(dict[str, Any]):
    """What stands in a result file, read whole. What is asked for and isn't there is a hole that names the file."""

    def __init__(self, values: Iterable[tuple[str, Any]], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> Any:
        raise _lacks(self._path, name)


class Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an open .npz file, each read when it is asked for.

    Raises:
        MissingName: the file lacks it.
        MissingResult: it is damaged.
    """

    def __init__(self, found: np.lib.npyio.NpzFile, path: Path) -> None:
        self._found, self._path = found, path

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self:
            raise _lacks(self._path, name)
        try:
            return self._found[name]
        except _UNREADABLE as error:
            raise _unreadable(self._path, error) from None

    def __contains__(self, name: object) -> bool:
        return name in self._found.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._found.files)

    def __len__(self) -> int:
        return len(self._found.files)


@contextmanager
def opened(path: Path) -> Iterator[Arrays]:
    """The arrays of an .npz file.

    Raises:
        MissingResult: it isn't one.
    """
    try:
        found = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise _unreadable(path, "it holds a single array")
    with found:
        yield Arrays(found, path)


def read_json(path: Path) -> Any:
    """The contents of a JSON file, objects as `Contents`.

    Raises:
        MissingResult: it isn't one.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: Contents(pairs, path))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a CSV file.

    Raises:
        MissingResult: it isn't one.
    """
    try:
        return pd.read_csv(path)
    except _UNREADABLE as error:
        raise _unreadable(path, error) from None


def _lacks(path: Path, name: str) -> MissingName:
    return MissingName(f"{_named(path)} has no {name}: another version of the workbench wrote it; {_remedy(path)}")


def _unreadable(path: Path, reason: Exception | str) -> MissingResult:
    return MissingResult(f"{_named(path)} cannot be read: {reason}; {_remedy(path)}")


def _named(path: Path) -> str:
    return f"{path.name} of {_stage(path)}"


def _remedy(path: Path) -> str:
    return f"run the stage again after `yolact results rm {_stage(path)}`"


def _stage(path: Path) -> str:
    """The id of the stage that left the file in its `result/`."""
    return path.parent.parent.name
