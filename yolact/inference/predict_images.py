"""A trained network on pictures of one's own: overlays, and detections in COCO's result format.

The folder gets `<name>.png` for every picture, `detections.json` (records), and `images.json` (COCO's `images` and
`categories`, which say what the records' ids stand for). What was found in a picture is encoded, drawn and written in a thread
while the network looks at the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yolact.errors import UserError
from yolact.inference.overlap import behind
from yolact.runtime.files import write_json, written_aside

if TYPE_CHECKING:
    from torch import Tensor

    from yolact.config import InferenceConfig
    from yolact.models.base import Model
    from yolact.structures import Detections

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")
"""What is taken for a picture when a folder is given."""
BEHIND = 1
"""How many pictures wait, with their masks, to be written; a photo with many objects takes a gigabyte."""


@dataclass(frozen=True)
class Picture:
    """One picture to look at."""

    image_id: int
    """Counted from 1 in the order given."""
    path: Path
    overlay: str
    """File name of its overlay, different for every picture."""


@dataclass(frozen=True)
class Trained:
    """A network and what its labels stand for."""

    model: Model
    category_ids: Sequence[int]
    class_names: Sequence[str]

    @property
    def categories(self) -> list[dict[str, Any]]:
        """COCO's `categories`."""
        pairs = zip(self.category_ids, self.class_names, strict=True)
        return [{"id": category_id, "name": name} for category_id, name in pairs]


def find_pictures(paths: Iterable[Path]) -> list[Picture]:
    """The pictures named, and those inside the folders named (not in folders below), by name.

    Raises:
        UserError: a path that does not exist, or a folder without pictures.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES and each.is_file())
            if not inside:
                raise UserError(f"{path}: the folder holds no pictures ({', '.join(SUFFIXES)})")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise UserError(f"{path}: no such picture or folder")
    taken: set[str] = set()
    unique = enumerate(dict.fromkeys(found), start=1)
    return [Picture(number, path, free_name(path.stem, taken) + ".png") for number, path in unique]


def refuse_to_overwrite(sources: Iterable[Path], targets: Iterable[Path]) -> None:
    """Hold results off the files they come from.

    Raises:
        UserError: a target is one of the sources.
    """
    kept = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in kept:
            raise UserError(f"{target}: the result would take the place of its source; choose another folder with --out")


def predict_pictures(
    trained: Trained, pictures: Iterable[Picture], folder: Path, inference: InferenceConfig, threshold: float, device: str
) -> tuple[int, list[str]]:
    """Look at every picture and write what was found into `folder`; unreadable pictures are passed over.

    Args:
        threshold: detections below this score are neither drawn nor written.

    Returns:
        The number of detections, and a message for each picture that could not be read.
    """
    from yolact.data.findings import DatasetError
    from yolact.data.images import read_image
    from yolact.evaluation.results import to_records
    from yolact.inference.predictor import Predictor

    def finish(picture: Picture, image: Tensor, found: Detections) -> None:
        records.extend(to_records(found, picture.image_id, trained.category_ids))
        _write_overlay(folder / picture.overlay, image.permute(1, 2, 0).numpy(), found, trained.class_names)

    predictor = Predictor(trained.model, inference.engine)
    folder.mkdir(parents=True, exist_ok=True)
    records: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    unreadable: list[str] = []
    with behind(finish, BEHIND) as hand_on:
        for picture in pictures:
            try:
                image = read_image(picture.path)
            except DatasetError as error:
                unreadable.append(str(error))
                continue
            hand_on(picture, image, above(predictor.predict([image.to(device)], inference)[0], threshold))
            height, width = image.shape[-2:]
            described = {"id": picture.image_id, "file_name": str(picture.path), "height": height, "width": width}
            images.append({**described, "overlay": picture.overlay})
    write_json(folder / "detections.json", records, indent=None)
    write_json(folder / "images.json", {"images": images, "categories": trained.categories})
    return len(records), unreadable


def free_name(stem: str, taken: set[str]) -> str:
    """`stem`, or with a number where `taken` has it already, to which it is added; upper and lower case count as the same."""
    name, number = stem, 2
    while name.lower() in taken:
        name, number = f"{stem}-{number}", number + 1
    taken.add(name.lower())
    return name


def above(found: Detections, threshold: float) -> Detections:
    """The detections of at least this score, and whose box is one: weights that diverged give boxes that are no numbers."""
    kept = (found.scores >= threshold) & found.boxes.isfinite().all(dim=1)
    parts = {field.name: getattr(found, field.name) for field in fields(found)}
    return type(found)(
        **{name: part[kept] if part is not None and name != "prototypes" else part for name, part in parts.items()}
    )


def _write_overlay(path: Path, image: Any, found: Detections, class_names: Sequence[str]) -> None:
    from yolact.inference.drawing import draw

    with written_aside(path) as aside:
        draw(image, found, class_names).save(aside, format="PNG")
