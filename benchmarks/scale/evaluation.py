"""How long COCO evaluation takes by each backend, on a generated set as large as COCO's val2017, with equal results.

The set has 5,000 images, 36,000 instances and 200,000 detections in 80 classes. The command stops if a number or a stored match
differs between the backends by a bit. Cost: twelve minutes on one core, and three gigabytes of memory. To reproduce:

    python -m benchmarks evaluation --out results/reference/cpu

Protocol: that of `benchmarks/common/timing.py` without warming up, but that a round calls pycocotools, which takes most of a
minute, once and the fast backend six times; `n` says how often in all. Rows by `iou_type` and `step`: `evaluate` is all of
`yolact.evaluation.coco.evaluate`, from parsed files to numbers and matches, hence with the checks of every annotation and
record that both backends share; `core` is what follows the checks, timed within the same calls. `ratio` is pycocotools' time
over the fast backend's in the same round. For both IoU types together, by the fast backend alone, `read` is reading the two
JSON files, and `whole` a coco stage's work: reading, evaluating, writing.

Writes evaluation.csv and evaluation.png."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from analysis.figures.style import house_style, new_figure
from benchmarks.common.command import parse
from benchmarks.common.figures import grouped
from benchmarks.common.results import write_results
from benchmarks.common.timing import in_order, interleaved, ratio, rounds, row, timed
from yolact.data.annotations import read_annotations
from yolact.data.coco import index
from yolact.evaluation import accumulate as evaluation_fast
from yolact.evaluation import reference as evaluation_reference
from yolact.evaluation.coco import Evaluation, evaluate, evaluate_to, match_arrays
from yolact.evaluation.inputs import IouType
from yolact.evaluation.results import read_records
from yolact.runtime.files import write_json

IMAGES, TINY_IMAGES = 5000, 10
INSTANCES_PER_IMAGE, DETECTIONS_PER_IMAGE = 7.2, 40
PER_ROUND = {"pycocotools": 1, "fast": 6}
MODULES = {"pycocotools": evaluation_reference, "fast": evaluation_fast}
STEPS = ("evaluate", "core")
SIZES = ("images", "instances", "detections")

HEIGHT, WIDTH, CLASSES, CORNERS = 480, 640, 80, 16
Set = tuple[dict[str, Any], list[dict[str, Any]]]


def generate(images: int, instances: int, detections: int, seed: int = 0) -> Set:
    """(annotations in COCO's format, records): blobs of all sizes and classes, one in a hundred of them a crowd region.

    About two detections aim at each instance, of which some are misplaced or of another class; the others lie anywhere. Scores
    have three decimals, so that some are equal.
    """
    generator = np.random.default_rng(seed)
    centre = generator.uniform((0, 0), (WIDTH, HEIGHT), (instances, 2))
    radius = np.exp(generator.uniform(np.log(4), np.log(160), (instances, 2)))
    outline = generator.uniform(0.7, 1.3, (instances, CORNERS))
    image, category = generator.integers(1, images + 1, instances), generator.integers(1, CLASSES + 1, instances)
    crowd = generator.random(instances) < 0.01
    truth = [
        {**shape, "id": place + 1, "iscrowd": int(crowd[place]), "area": float(coco_mask.area(shape["segmentation"]))}
        for place, shape in enumerate(_shapes(centre, radius, outline, image, category))
    ]
    for annotation in truth:
        outlined = annotation.pop("outline")
        if not annotation["iscrowd"]:
            annotation["segmentation"] = [outlined]  # a polygon, as in COCO's files
    aimed = generator.integers(0, instances, min(2 * instances, detections))
    wild = detections - len(aimed)
    near = generator.choice((0.03, 0.1, 0.4), len(aimed))[:, None]
    found = _shapes(
        np.concatenate([centre[aimed] + generator.normal(0, 1, (len(aimed), 2)) * near * radius[aimed],
                        generator.uniform((0, 0), (WIDTH, HEIGHT), (wild, 2))]),
        np.concatenate([radius[aimed] * np.exp(generator.normal(0, 0.5, (len(aimed), 2)) * near),
                        np.exp(generator.uniform(np.log(4), np.log(160), (wild, 2)))]),
        np.concatenate([outline[aimed] * np.exp(generator.normal(0, 0.3, (len(aimed), CORNERS)) * near),
                        generator.uniform(0.7, 1.3, (wild, CORNERS))]),
        np.concatenate([image[aimed], generator.integers(1, images + 1, wild)]),
        np.concatenate([np.where(generator.random(len(aimed)) < 0.9, category[aimed],
                                 generator.integers(1, CLASSES + 1, len(aimed))), generator.integers(1, CLASSES + 1, wild)]),
    )  # fmt: skip
    scores = np.concatenate([generator.beta(2, 1, len(aimed)) * (1 - near[:, 0]), generator.beta(1, 4, wild)]).round(3)
    records = [
        {**{key: value for key, value in shape.items() if key != "outline"}, "score": float(score)}
        for shape, score in zip(found, scores, strict=True)
    ]
    generator.shuffle(records)
    described = {
        "images": [{"id": i + 1, "width": WIDTH, "height": HEIGHT, "file_name": f"{i + 1}.jpg"} for i in range(images)],
        "annotations": truth,
        "categories": [{"id": k + 1, "name": f"class {k + 1}"} for k in range(CLASSES)],
    }
    return described, records


def _shapes(
    centre: NDArray[np.float64],
    radius: NDArray[np.float64],
    outline: NDArray[np.float64],
    image: NDArray[np.int64],
    category: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Polygons around `centre` (n, 2), of `radius` (n, 2) times `outline` (n, CORNERS), as box, compressed RLE and polygon."""
    angle = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    corners = np.clip(centre[:, None] + radius[:, None] * outline[..., None] * ring, 0, (WIDTH - 1, HEIGHT - 1))
    shapes = []
    for place, polygon in enumerate(corners.reshape(len(corners), -1).round(2).tolist()):
        rle = coco_mask.frPyObjects([polygon], HEIGHT, WIDTH)[0]
        shapes.append({
            "image_id": int(image[place]),
            "category_id": int(category[place]),
            "bbox": coco_mask.toBbox(rle).tolist(),
            "segmentation": {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode("ascii")},
            "outline": polygon,
        })  # fmt: skip
    return shapes


def compare(iou_type: IouType, data: Set, repeats: int) -> list[dict[str, Any]]:
    """A row for each step and backend.

    Raises:
        RuntimeError: the backends differ in a number or a match.
    """
    truth, records = data
    coco = index(truth)
    samples: dict[tuple[str, str], list[float]] = {(step, backend): [] for step in STEPS for backend in PER_ROUND}
    for number in rounds(max(1, repeats // PER_ROUND["fast"])):
        found: dict[str, Evaluation] = {}
        for backend in in_order(list(PER_ROUND), number):
            with _cores(MODULES[backend]) as cores:
                for _ in range(PER_ROUND[backend]):
                    whole, found[backend] = timed(partial(evaluate, coco, records, iou_type, backend=backend))
                    samples["evaluate", backend].append(whole)
            samples["core", backend] += cores
        difference = differs(found["fast"], found["pycocotools"])
        if difference:
            raise RuntimeError(f"{iou_type}: the backends differ in {difference}")
    return [line for step in STEPS for line in _rows(iou_type, step, {name: samples[step, name] for name in PER_ROUND})]


@contextmanager
def _cores(backend: ModuleType) -> Iterator[list[float]]:
    """Milliseconds of every call of the backend's `run` meanwhile."""
    taken: list[float] = []
    run = backend.run

    def timed_run(*arguments: Any) -> Any:
        milliseconds, result = timed(partial(run, *arguments))
        taken.append(milliseconds)
        return result

    with patch.object(backend, "run", timed_run):
        yield taken


def _rows(iou_type: IouType, step: str, samples: dict[str, list[float]]) -> list[dict[str, Any]]:
    beside = np.repeat(samples["pycocotools"], PER_ROUND["fast"]).tolist()
    faster = {"fast": ratio(samples["fast"], beside), "pycocotools": {}}
    return [
        {"iou_type": iou_type, "step": step, "backend": backend, **row(times), **faster[backend]}
        for backend, times in samples.items()
    ]


def differs(fast: Evaluation, reference: Evaluation) -> str | None:
    """The first thing in which two evaluations are not equal to the last bit, or None."""
    if fast.metrics != reference.metrics:
        return "metrics"
    if not np.array_equal(fast.precision, reference.precision):
        return "precision"
    expected = match_arrays([reference])
    unequal = (name for name, array in match_arrays([fast]).items() if not np.array_equal(array, expected[name]))
    return next(unequal, None)


def files(data: Set, repeats: int) -> list[dict[str, Any]]:
    """Rows for reading the two JSON files, and for the whole of `evaluate_to` with both IoU types."""
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "truth.json"), Path(folder, "detections.json")
        for path, content in zip(paths, data, strict=True):
            write_json(path, content, indent=None)
        steps = {
            "read": lambda: (read_annotations(paths[0]), read_records(paths[1])),
            "whole": lambda: evaluate_to(Path(folder, "out"), *paths),
        }
        samples = interleaved(steps, repeats, 0)
    return [{"iou_type": "both", "step": step, "backend": "fast", **row(times)} for step, times in samples.items()]


def measure(data: Set, repeats: int) -> Iterator[dict[str, Any]]:
    """All rows, each as soon as it is known."""
    for iou_type in get_args(IouType):
        yield from compare(iou_type, data, repeats)
    yield from files(data, max(1, repeats // PER_ROUND["fast"]))


@house_style
def draw(rows: Sequence[dict[str, Any]], hardware: str) -> Figure:
    """The backends beside each other, by masks and by boxes."""
    words = {"segm": "masks", "bbox": "boxes"}
    shown = [{**each, "of": words[each["iou_type"]]} for each in rows if each["step"] == "evaluate"]
    figure = new_figure(2.4)
    axes = figure.subplots()
    grouped(axes, shown, "of", "backend", unit="s")
    sizes = ", ".join(f"{shown[0][name]:,} {name}" for name in SIZES)
    figure.suptitle(f"COCO evaluation of {sizes}; {hardware}", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, then time the stage's work; print, and write where asked."""
    options = parse(__doc__ or "", arguments)
    images = TINY_IMAGES if options.tiny else IMAGES
    data = generate(images, round(INSTANCES_PER_IMAGE * images), DETECTIONS_PER_IMAGE * images)
    sizes = dict(zip(SIZES, (images, len(data[0]["annotations"]), len(data[1])), strict=True))
    rows = []
    for line in measure(data, options.repeats):
        rows.append({**line, **sizes})
        print(rows[-1], flush=True)
    write_results(options.out, "evaluation", rows, draw)
