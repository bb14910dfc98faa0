"""The `predict` stage: detections of a trained network on the evaluated split. Imports torch; only stages import this.

Stages that differ only in post-processing (`experiments.stages.table.forward_pass`) run together: each image is read and passed
through the network once. Each stage's detections are byte for byte those of a separate run. A failed stage does not stop the
others.

Masks are encoded in a thread, while the network processes the next image. That time counts for a stage only while it is waited
for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

from experiments.stages.kind import Ended, Interrupted, StageContext
from experiments.stages.network import fix_numbers, open_split, trained_model
from yolact.config import InferenceConfig
from yolact.data.coco import CocoSplit, Instances
from yolact.evaluation.results import to_records
from yolact.inference.overlap import behind
from yolact.inference.predictor import Encoded, Predictor
from yolact.interventions import prepare
from yolact.interventions.base import Intervene
from yolact.interventions.compression import training_moments
from yolact.runtime.files import write_json
from yolact.structures import Detections

PROGRESS_EVERY = 25
BEHIND = 2
"""Maximum number of images, per stage and with their masks, that wait to be encoded."""


def predict(ctx: StageContext) -> None:
    """Run the network over the evaluated split; write detections.json in COCO's result format, and summary.json."""
    (ended,) = predict_together([ctx])
    if ended.error is not None:
        raise ended.error


def predict_together(contexts: Sequence[StageContext]) -> list[Ended]:
    """`predict` for stages that share one forward pass; returns the outcome of each.

    Raises:
        Exception: a step that all of them need has failed.
    """
    first, begun = contexts[0], time.monotonic()
    fix_numbers(first)
    model, category_ids, _ = trained_model(first)
    split = open_split(first, first.fields["split"])
    moments = cache(lambda: training_moments(model, open_split(first, "train"), first.device))

    def intervention(inference: InferenceConfig) -> Intervene | None:
        return prepare(inference.intervention, model, first.device, moments)

    variants = [_Variant(ctx, category_ids) for ctx in contexts]
    shared = variants[0].inference
    predictor = Predictor(model, shared.engine)
    for variant in variants:
        variant.do(partial(variant.begin, intervention))
    with behind(_Variant.encode, BEHIND) as enqueue:
        for number, image_id in enumerate(split.image_ids, start=1):
            going = [variant for variant in variants if variant.needs_next(number - 1, len(split))]
            if not going:
                break
            encoded = predictor.encode([split.image(image_id).to(first.device)], shared.masks)
            truth = _once(split, image_id)
            for variant in going:
                variant.do(partial(variant.add, image_id, predictor, encoded, truth, enqueue))
                variant.log_progress(number, len(split))
    for variant in variants:
        variant.do(partial(variant.write, len(split)))
    seconds = time.monotonic() - begun
    together = seconds - sum(variant.seconds for variant in variants)
    return [Ended(variant.error, variant.seconds, together, seconds) for variant in variants]


def _once(split: CocoSplit, image_id: int) -> Callable[[], Instances]:
    """The image's ground truth, decoded on first use."""
    return cache(lambda: split.instances(image_id))


class _Variant:
    """Steps of one stage: suppression, assembly, intervention, records."""

    def __init__(self, ctx: StageContext, category_ids: Sequence[int]) -> None:
        self.ctx, self.category_ids = ctx, category_ids
        self.inference = InferenceConfig.from_data(ctx.fields["inference"])
        self.records: list[dict[str, Any]] = []
        self.masks = True
        self.intervene: Intervene | None = None
        self.error: Exception | None = None
        self.seconds = 0.0
        """Own time: the caller's steps for it, and their waiting for masks to be encoded."""

    def do(self, step: Callable[[], None]) -> None:
        """Run a timed step unless an earlier one failed."""
        begun = time.monotonic()
        self._take(step)
        self.seconds += time.monotonic() - begun

    def encode(self, image_id: int, found: Detections) -> None:
        """Add an image's records; called in the order of the images, in a thread."""
        self._take(lambda: self.records.extend(to_records(found, image_id, self.category_ids)))

    def begin(self, intervention: Callable[[InferenceConfig], Intervene | None]) -> None:
        self.intervene = intervention(self.inference)

    def needs_next(self, done: int, images: int) -> bool:
        """Whether it needs the next image."""
        if self.error is None and self.ctx.should_stop():
            self.error = Interrupted(f"stopped after {done} of {images} images")
        return self.error is None

    def add(
        self,
        image_id: int,
        predictor: Predictor,
        encoded: Encoded,
        truth: Callable[[], Instances],
        enqueue: Callable[..., None],
    ) -> None:
        (found,) = predictor.detections(encoded, self.inference)
        if self.intervene is not None:
            found = self.intervene(found, truth(), image_id, self.inference)
        self.masks = found.masks is not None
        enqueue(self, image_id, found)

    def log_progress(self, number: int, images: int) -> None:
        if self.error is None and (number % PROGRESS_EVERY == 0 or number == images):
            self.ctx.log({"event": "step", "iteration": number, "iterations": images})

    def write(self, images: int) -> None:
        write_json(self.ctx.output / "detections.json", self.records, indent=None)
        summary = {"images": images, "detections": len(self.records), "masks": self.masks}
        write_json(self.ctx.output / "summary.json", summary)

    def _take(self, step: Callable[[], None]) -> None:
        if self.error is None:
            try:
                step()
            except Exception as error:
                self.error = error
