"""Unpacking a zip archive into a folder: nothing lands outside it, nothing is overwritten, and a second call finishes a first.

Every file is written aside and renamed, and its CRC compared with the archive's; one that is there already must have that CRC.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from experiments.datasets.fetch.download import require_space
from experiments.datasets.fetch.meter import Meter
from yolact.errors import UserError
from yolact.runtime.files import written_aside

_CHUNK = 1 << 20
_MALFORMED = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, IndexError, ValueError, RuntimeError)
"""What zipfile raises over bytes that make no sense to it, encryption and unknown compression included."""


class ArchiveError(UserError):
    """An archive can't be unpacked. The message names the archive and the file in it."""


class DamagedArchiveError(ArchiveError):
    """The archive's own bytes are wrong; fetching it again helps."""


def unpack(archive: Path, folder: Path, meter: Meter) -> dict[str, int]:
    """Unpack all of `archive` into `folder`, which exists.

    Returns:
        {path relative to `folder`, with "/": size in bytes} of all files in the archive.

    Raises:
        DamagedArchiveError: it is no zip, or a CRC is wrong.
        ArchiveError: a file would lie outside the folder, or another file stands in its place. Nothing of others is touched.
        DownloadError: the disk is too small.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir()]
            for entry in entries:
                _check_name(archive, entry)
            _check_folders(archive, entries, folder)
            present = _present(archive, entries, folder)
            missing = [entry for entry in entries if entry.filename not in present]
            require_space(folder, sum(entry.file_size for entry in missing), f"unpacking {archive.name}")
            _extract(opened, missing, folder, meter)
    except _MALFORMED as error:
        raise DamagedArchiveError(f"{archive}: damaged, or not a plain zip archive: {error}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # that is a seek to where no file has a place
            raise
        raise DamagedArchiveError(f"{archive}: damaged: it refers to itself at impossible places") from None
    return {entry.filename: entry.file_size for entry in entries}


def _check_name(archive: Path, entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    outside = path.is_absolute() or ".." in path.parts or "\\" in entry.filename or "\0" in entry.orig_filename
    if outside or stat.S_ISLNK(entry.external_attr >> 16):
        raise ArchiveError(f"{archive}: {entry.orig_filename!r} leads out of the folder, or is a link; nothing was unpacked")


def _check_folders(archive: Path, entries: list[zipfile.ZipInfo], folder: Path) -> None:
    root = folder.resolve()
    for parent in {(folder / entry.filename).parent for entry in entries}:
        if not parent.resolve().is_relative_to(root):
            raise ArchiveError(f"{archive}: {parent} is a link out of {folder}; put a folder in its place")


def _present(archive: Path, entries: list[zipfile.ZipInfo], folder: Path) -> set[str]:
    """The names of those that are there already."""
    there = [entry for entry in entries if os.path.lexists(folder / entry.filename)]
    other = [entry.filename for entry in there if not _same(folder / entry.filename, entry)]
    if other:
        more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
        raise ArchiveError(f"{folder / other[0]}{more} differs from what {archive.name} holds; move it away, or delete it")
    return {entry.filename for entry in there}


def _same(path: Path, entry: zipfile.ZipInfo) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.file_size:
        return False
    crc = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc == entry.CRC


def _extract(opened: zipfile.ZipFile, entries: list[zipfile.ZipInfo], folder: Path, meter: Meter) -> None:
    done, total = 0, sum(entry.file_size for entry in entries)
    meter.start(f"unpacking {Path(opened.filename or '').name}")
    for entry in entries:
        path = folder / entry.filename
        path.parent.mkdir(parents=True, exist_ok=True)
        with opened.open(entry) as source, written_aside(path) as aside, open(aside, "wb") as target:
            shutil.copyfileobj(source, target, _CHUNK)
        done += entry.file_size
        meter.update(done, total)
