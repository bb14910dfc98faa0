"""Writing the gallery: a folder with a page, its scripts, and a script of data per image, loaded when it is looked at."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
import pandas as pd

from analysis.figures.style import OKABE_ITO
from analysis.gallery.encode import encode
from analysis.measures.prototypes.read import Kept, open_kept
from analysis.measures.prototypes.use import Use
from analysis.report.folder import folder_beside, put_in_place
from analysis.report.html import TEMPLATES
from analysis.results.experiment import Experiment, MissingResult, load
from experiments.store.folder import Store
from yolact.errors import UserError

MARK = '<meta name="generator" content="yolact gallery">'
"""Stands in every gallery's page; a folder without it is never replaced."""
SCRIPTS = ("images.js", "colours.js", "tiles.js", "card.js", "strip.js", "gallery.js")
"""In the order in which the page loads them."""


class GalleryError(UserError):
    """The gallery cannot be made. The message says of what, and which command runs what is missing."""


@dataclass(frozen=True)
class Gallery:
    """A gallery that was written."""

    index: Path
    """Its page."""
    images: int
    k: int
    size: int
    """Bytes on the disk."""


def make_gallery(
    results: Path | str,
    experiment: str,
    scale: str,
    variant: str | None = None,
    seed: int | None = None,
    out: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, images: None,
) -> Gallery:
    """Write the gallery of one network to results/reports/<experiment>-<scale>-gallery/, in place of an earlier one.

    Args:
        variant: by default the reference.
        seed: by default the first whose prototypes were kept.
        out: another folder; it may exist only if it is empty or a gallery.
        progress: told (images written, images).

    Raises:
        StoreError: the experiment was not run there.
        GalleryError: no prototypes of it were kept, or `out` holds something else.
    """
    kept = _kept(load(results, experiment, scale), variant, seed)
    target = (out or Store(results).report_folder(f"{experiment}-{scale}-gallery")).resolve()
    _check_free(target)
    with folder_beside(target) as folder:
        _write(kept, folder, progress)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        put_in_place(target, folder)
    return Gallery(target / "index.html", len(kept), kept.k, size)


def _kept(experiment: Experiment, variant: str | None, seed: int | None) -> Kept:
    experiment.variant(variant or experiment.reference)
    if seed is not None and seed not in experiment.seeds:
        raise GalleryError(f"{experiment.name} was not run with seed {seed}; it has: {', '.join(map(str, experiment.seeds))}")
    try:
        return open_kept(experiment, variant, seed)
    except MissingResult as missing:
        if "prototypes" not in experiment.kinds():
            advice = (
                f"the spec {experiment.name} doesn't measure `prototypes`: add it to its `measure`, or take the spec `learned`"
            )
        else:
            command = f"yolact run {experiment.name} --scale {experiment.scale}"
            advice = f"`{command}` keeps them, `{command} --set prototypes.images=300` of more images"
        raise GalleryError(f"no gallery of {experiment.name}: {missing}\n{advice}") from None


def _check_free(target: Path) -> None:
    """Refuse to replace what isn't a gallery."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    page = target / "index.html"
    if not page.is_file() or MARK not in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise GalleryError(f"{target}: is there already and is no gallery; name another folder with --out, or remove it")


def _write(kept: Kept, folder: Path, progress: Callable[[int, int], None]) -> None:
    (folder / "images").mkdir()
    use = Use(kept.k, kept.assembly.padding)
    images = []
    for index, image in enumerate(kept):
        use.add(image)
        data = json.dumps(encode(image, kept.assembly, kept.class_names), allow_nan=False, separators=(",", ":"))
        (folder / "images" / f"{index}.js").write_text(f"imageArrived({index}, {data});\n", encoding="utf-8")
        height, width = image.image.shape[:2]
        images.append({"id": image.image_id, "width": width, "height": height, "instances": len(image)})
        tile = image.prototypes.shape[1:]
        progress(index + 1, len(kept))
    statistics = use.frame()
    statistics.to_csv(folder / "statistics.csv", index=False, lineterminator="\n")
    for name in ("gallery.css", *SCRIPTS):
        shutil.copyfile(TEMPLATES / "gallery" / name, folder / name)
    (folder / "index.html").write_text(_page(kept, images, statistics, tile), encoding="utf-8")


def _page(kept: Kept, images: list[dict[str, Any]], statistics: pd.DataFrame, tile: tuple[int, ...]) -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES / "gallery"), autoescape=True)
    experiment = kept.experiment
    instances = int(statistics["instances"].iloc[0])
    facts = [("network", experiment.variant(kept.variant).label), ("seed", kept.seed), ("scale", experiment.scale),
             ("data", experiment.data), ("images", len(kept)), ("instances", instances), ("prototypes", kept.k)]  # fmt: skip
    manifest = {
        "k": kept.k,
        "tile": {"height": tile[0], "width": tile[1]},
        "crop": kept.assembly.crop,
        "padding": kept.assembly.padding,
        "threshold": kept.assembly.threshold,
        "images": images,
        "statistics": json.loads(statistics.to_json(orient="records", double_precision=6)),
        "colours": {"sequential": _palette("cividis"), "diverging": _palette("RdBu"), "instances": list(OKABE_ITO)},
    }
    return environment.get_template("index.html.j2").render(
        title=experiment.title,
        facts=facts,
        manifest=manifest,
        statistics=statistics.to_dict("records"),
        scripts=SCRIPTS,
        mark=MARK,
    )


def _palette(name: str) -> str:
    """256 colours as hexadecimal digits, six each."""
    colours = (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    return colours.tobytes().hex()
