"""COCO 2017 from its official host to a folder that `--data` takes.

    <folder>/annotations/*.json   <folder>/train2017/*.jpg   <folder>/val2017/*.jpg
    <folder>/.download/           unfinished archives, and for each unpacked archive a list of its files

Each archive is fetched, unpacked with its CRCs compared, and deleted. The next call resumes an interrupted step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from experiments.datasets.fetch.download import download, remote_size, require_space
from experiments.datasets.fetch.meter import Meter
from experiments.datasets.fetch.unpack import DamagedArchiveError, unpack
from yolact.errors import UserError
from yolact.runtime import files


@dataclass(frozen=True)
class Archive:
    """One of the archives."""

    place: str
    """On the host."""
    growth: float
    """Approximate ratio of unpacked to packed size: the JSON files are compressed, the JPEGs hardly."""

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


ARCHIVES = (
    Archive("annotations/annotations_trainval2017.zip", 4.0),
    Archive("zips/val2017.zip", 1.05),
    Archive("zips/train2017.zip", 1.05),
)
"""The smallest first, so that errors show early."""


def download_coco(folder: Path, host: str, meter: Meter, say: Callable[[str], None]) -> None:
    """Ensure that `folder` contains all of COCO 2017.

    Args:
        host: base address of the archives.
        say: called with a sentence about each step.

    Raises:
        UserError: the disk is too small, the host can't be reached, an archive is damaged, or another file is in the way.
    """
    work = folder / ".download"
    work.mkdir(parents=True, exist_ok=True)
    wanted = [archive for archive in ARCHIVES if not _complete(archive, folder, work, say)]
    _check_space(wanted, host, work)
    for archive in wanted:
        _fetch(archive, f"{host.rstrip('/')}/{archive.place}", folder, work, meter)
        say(f"{archive.name}: unpacked, every CRC as it should be")


def _fetch(archive: Archive, url: str, folder: Path, work: Path, meter: Meter) -> None:
    path = work / archive.name
    if not path.exists():
        meter.start(archive.name)
        download(url, path, meter)
    try:
        held = unpack(path, folder, meter)
    except DamagedArchiveError as error:
        path.unlink()
        raise UserError(f"{error}. It was deleted; give the same command again to fetch it anew") from None
    os.sync()  # for 118,000 files far faster than one by one
    files.write_json(_list(archive, work), {"url": url, "size": path.stat().st_size, "files": held}, indent=None)
    path.unlink()


def _complete(archive: Archive, folder: Path, work: Path, say: Callable[[str], None]) -> bool:
    """Whether the archive was unpacked and all of its files still exist with their sizes."""
    try:
        held = json.loads(_list(archive, work).read_text(encoding="utf-8"))["files"].items()
    except FileNotFoundError:
        return False
    except (ValueError, KeyError, AttributeError):
        raise UserError(f"{_list(archive, work)}: damaged; delete it to have {archive.name} fetched anew") from None
    lost = [name for name, size in held if not (folder / name).is_file() or (folder / name).stat().st_size != size]
    if lost:
        say(f"{archive.name}: {len(lost)} of its files are missing or of another size, {lost[0]} first; fetching it anew")
        return False
    say(f"{archive.name}: all {len(held)} files are here")
    return True


def _check_space(archives: list[Archive], host: str, work: Path) -> None:
    """Require disk space for all unpacked files and the largest archive, less the bytes already downloaded."""
    needed, largest = 0.0, 0
    for archive in archives:
        path = work / archive.name
        total = path.stat().st_size if path.exists() else remote_size(f"{host.rstrip('/')}/{archive.place}") or 0
        part = path if path.exists() else path.with_name(f"{path.name}.part")
        here = part.stat().st_size if part.exists() else 0
        needed += total * archive.growth
        largest = max(largest, total - here)
    if archives:
        require_space(work, int(needed + largest), "COCO 2017")


def _list(archive: Archive, work: Path) -> Path:
    return work / f"{archive.name}.json"
