"""Ground truth in the place of one part of each detection that finds an object, so that what is left is the other parts' fault.

Detections that find none stay as they are. `matching.match_objects` says which find one: by boxes, of the same class.

- `coefficients`: those, within the range of the network's activation, whose mask fits the object best on the network's own
  prototypes, cropped by the predicted box (`fitting`).
- `prototypes`: the object's mask at the prototypes' resolution, cropped by the predicted box: what the best coefficients would
  give if the prototypes spanned every mask.
- `masks`: the object's mask as annotated, not cropped by the predicted box, so that mask AP is what detection alone costs.
- `boxes`: the object's box is reported and crops the network's own mask.
- `classes`: the object's label; here detections find objects of any class.

A network with prototypes that re-scores masks scores those again that its own parts make: with other coefficients, boxes or
labels. Where an annotated mask is put in place (`prototypes`, `masks`), the network's score of its own mask stays.

AP(masks) - AP(prototypes) is therefore what resolution and the predicted box's crop cost, AP(prototypes) - AP(coefficients)
what the prototypes cost, and AP(coefficients) - AP(predicted) what predicting the coefficients costs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.config.interventions import OracleConfig
from yolact.data.coco import Instances
from yolact.evaluation.objects import masks_of, match_objects, put_back
from yolact.interventions.base import Intervene, needs_prototypes
from yolact.measures.coefficients.fitting import best_coefficients, limit_masks
from yolact.models.base import Model
from yolact.models.masks.prototypes import LinearMasks
from yolact.structures import Detections

Swap = Callable[[Detections, Tensor, Instances, InferenceConfig], Detections]
"""(q detections that find an object, (q,) which object each finds, truth, inference) -> the same q, a part replaced."""


def prepare_oracle(config: OracleConfig, model: Model) -> Intervene:
    """Replace `config.part`; the module's docstring says how.

    Raises:
        UserError: the part needs prototypes, and the network makes none. From the intervention: detections without masks.
    """
    if config.part == "classes":
        return partial(_classes, model)
    what = f"inference.intervention.part={config.part}"
    swap = _masks if config.part == "masks" else _swap_of_prototypes(config.part, model, what)

    def intervene(found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
        masks_of(found, what)
        matched = match_objects(found, truth)
        where = matched >= 0
        if not where.any():
            return found
        return put_back(found, where, swap(found[where], matched[where], truth, inference))

    return intervene


def _swap_of_prototypes(part: str, model: Model, what: str) -> Swap:
    branch = needs_prototypes(model, what)
    if part == "coefficients":
        return _coefficients(branch)
    return partial(_boxes, branch) if part == "boxes" else _prototypes


def _coefficients(branch: LinearMasks) -> Swap:
    bound = branch.coefficient_bound

    def swap(found: Detections, objects: Tensor, truth: Instances, inference: InferenceConfig) -> Detections:
        best = best_coefficients(found, _truth_masks(found, objects, truth), inference, bound)
        return branch.rescored(best, inference)

    return swap


def _prototypes(found: Detections, objects: Tensor, truth: Instances, inference: InferenceConfig) -> Detections:
    return replace(found, masks=limit_masks(found, _truth_masks(found, objects, truth), inference))


def _masks(found: Detections, objects: Tensor, truth: Instances, inference: InferenceConfig) -> Detections:
    return replace(found, masks=_truth_masks(found, objects, truth).bool())


def _boxes(branch: LinearMasks, found: Detections, objects: Tensor, truth: Instances, inference: InferenceConfig) -> Detections:
    return branch.reassembled(found, inference, boxes=truth.boxes[objects].to(found.boxes))


def _classes(model: Model, found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
    matched = match_objects(found, truth, same_class=False)
    where = (matched >= 0).to(found.labels.device)
    labels = found.labels.clone()
    labels[where] = truth.labels[matched[matched >= 0]].to(labels)
    changed = replace(found, labels=labels)
    if model.prototypes is None or not where.any():
        return changed
    return put_back(changed, where, model.prototypes.rescored(changed[where], inference))


def _truth_masks(found: Detections, objects: Tensor, truth: Instances) -> Tensor:
    """(q, H, W) uint8 on the detections' device."""
    return truth.masks[objects].to(found.boxes.device)
