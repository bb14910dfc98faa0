"""Stage ids, and the digests that stand for files in them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.spec.config import RunConfig
from experiments.spec.document import SpecError
from experiments.spec.tree import value_at, with_value
from yolact.config.fields import FilePath, marked
from yolact.runtime.files import digest


class FileDigests:
    """What is given as a path enters an id by its digest, never by its path."""

    def __init__(self, config: type[RunConfig]) -> None:
        self.paths = marked(config, FilePath)
        self.digests: dict[str, str] = {}

    def by_digest(self, fields: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
        """The fields with `sha256:...` in place of such paths, and {that text: the path}."""
        files = {}
        for field, mark in self.paths.items():
            path = value_at(fields, field)
            if path and path not in mark.words:
                text = self._digest(path, ".".join(field), mark)
                fields = with_value(fields, field, text)
                files[text] = str(Path(path).absolute())
        return fields, files

    def _digest(self, path: str, field: str, mark: FilePath) -> str:
        if path not in self.digests:
            if not (Path(path).is_file() or (mark.folder and Path(path).is_dir())):
                raise SpecError(f"{field}: no such file: {path}")
            self.digests[path] = f"sha256:{digest(Path(path))}"
        return self.digests[path]


def stage_id(content: Mapping[str, Any]) -> str:
    """kind-<first 16 hex digits of the SHA-256 of the content's canonical JSON>."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return f"{content['kind']}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
