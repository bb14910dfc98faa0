"""Published files of unknown size and hash: the first download records them, later ones must match.

The record of `<name>` is `<name>.json` beside it: {"url", "size", "sha256", "recorded"}. It remains when the file is deleted.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from experiments.datasets.fetch.download import download
from experiments.datasets.fetch.meter import Meter
from experiments.datasets.fetch.request import DownloadError
from yolact.runtime import files
from yolact.runtime.files import digest

Outcome = Literal["downloaded", "verified", "recorded"]


def torch_checkpoints() -> Path:
    """The folder that torch hub keeps weights in, without asking torch: TORCH_HOME, else the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", os.path.join(cache, "torch"))
    return Path(os.path.expanduser(home)) / "hub" / "checkpoints"


def fetch(url: str, path: Path, meter: Meter) -> Outcome:
    """Ensure that `path` exists and equals its record.

    Returns:
        "downloaded"; "verified" if it existed and is unchanged; "recorded" if it existed without a record.

    Raises:
        DownloadError: it can't be fetched, or isn't what was recorded.
    """
    if path.exists():
        known = _read(path)
        if known:
            _compare(path, path, known, "restore it, or delete it and give the same command again to download it anew")
            return "verified"
        _write(path, url, path)
        return "recorded"
    meter.start(path.name)
    download(url, path, meter, lambda part: _first_or_same(part, path, url))
    return "downloaded"


def _first_or_same(part: Path, path: Path, url: str) -> None:
    known = _read(path)
    if known is None:
        _write(part, url, path)
        return
    remedy = f"what lies at {url} has changed since, or came damaged; to accept what it is now, delete {_record(path)}"
    _compare(part, path, known, remedy)


def _compare(file: Path, path: Path, known: dict[str, object], remedy: str) -> None:
    found = {"size": file.stat().st_size, "sha256": digest(file)}
    if any(found[key] != known[key] for key in found):
        was, now = (f"{each['size']} bytes, SHA-256 {each['sha256']}" for each in (known, found))
        raise DownloadError(f"{path}: recorded as {was}; found {now}: {remedy}")


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read(path: Path) -> dict[str, object] | None:
    record = _record(path)
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        return {"size": known["size"], "sha256": known["sha256"]}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise DownloadError(f"{record}: not a record of size and hash; delete it to have it written anew") from None


def _write(file: Path, url: str, path: Path) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    files.write_json(_record(path), {"url": url, "size": file.stat().st_size, "sha256": digest(file), "recorded": now})
