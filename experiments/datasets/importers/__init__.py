"""Importers of other formats, by name. A new one is one file here and one line in `IMPORTERS`, or an import path."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from experiments.datasets.importers.base import Importer
from yolact.config.base import nearest
from yolact.data.findings import DatasetError

IMPORTERS: Mapping[str, str] = {
    "sbd": "experiments.datasets.importers.sbd:Sbd",
    "tiles": "experiments.datasets.importers.tiles:Tiles",
}
"""{name: module:class}, imported when used."""


def importer(name: str, options: Mapping[str, Any]) -> Importer:
    """The importer with a name of `IMPORTERS`, or with an import path such as `my_package.formats:Cells`.

    Raises:
        DatasetError: there is none.
        ConfigError: an option is wrong.
    """
    path = IMPORTERS.get(name, name)
    module, _, attribute = path.partition(":")
    if not (module and attribute):
        hint = nearest(name, list(IMPORTERS))
        raise DatasetError(f"unknown importer {name!r}{hint}; or give an import path such as my_package.formats:Cells")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise DatasetError(f"importer {name}: {error}; check the path, and that the module can be imported from here") from None
    if not (isinstance(found, type) and issubclass(found, Importer)):
        raise DatasetError(f"importer {name}: is no subclass of experiments.datasets.importers.base.Importer")
    return found.from_data(dict(options))
