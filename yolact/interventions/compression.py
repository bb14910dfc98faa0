"""Masks from fewer maps than the network makes, without training it again: some of the prototypes, or their components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from yolact.config.inference import InferenceConfig
from yolact.config.interventions import KeepConfig, ProjectConfig
from yolact.data.coco import CocoSplit, Instances
from yolact.inference.predictor import Predictor
from yolact.interventions.base import Intervene, needs_prototypes
from yolact.measures.redundancy.moments import PrototypeMoments
from yolact.measures.redundancy.spectrum import principal_components
from yolact.models.base import Model
from yolact.models.masks.prototypes import LinearMasks
from yolact.structures import Detections

TRAINING_IMAGES = 64
"""Images of the training split that use and components are taken from, in the order of their ids."""


def prepare_compression(
    config: KeepConfig | ProjectConfig, model: Model, moments: Callable[[], PrototypeMoments], device: str
) -> Intervene:
    """Choose the prototypes to keep, or the components to project on, by their `moments` in training images.

    Raises:
        UserError: the network has no prototypes, or they are not finite numbers.
    """
    branch = needs_prototypes(model, f"inference.intervention.kind={config.kind}")
    if config.kind == "keep":
        return Keep(branch, most_used(moments(), config.m).to(device))
    return first_components(branch, moments(), config.m).to(device)


def most_used(moments: PrototypeMoments, m: int) -> Tensor:
    """(k,) bool: the m prototypes that detections use most, all where m >= k; among equals the lower number."""
    order = np.argsort(-np.nan_to_num(moments.use), kind="stable")[:m]
    kept = torch.zeros(len(moments.use), dtype=torch.bool)
    kept[torch.from_numpy(order)] = True
    return kept


def first_components(branch: LinearMasks, moments: PrototypeMoments, m: int) -> Project:
    """The projection on the first m principal components, all where m >= k."""
    _, components = principal_components(moments.covariance)
    return Project(branch, torch.from_numpy(moments.mean).float(), torch.from_numpy(components[:, :m]).float())


@dataclass(frozen=True)
class Keep:
    """Assemble from some prototypes; the coefficients of the others become 0."""

    branch: LinearMasks
    """Assembles, and scores masks again if it re-scores."""
    kept: Tensor
    """(k,) bool."""

    def __call__(self, found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
        coefficients = None if found.coefficients is None else found.coefficients * self.kept
        return self.branch.reassembled(found, inference, coefficients=coefficients)


@dataclass(frozen=True)
class Project:
    """Assemble from the prototypes' projection on m principal components.

    Centred: a pixel's k activations p become mean + V Vᵀ (p - mean). The mean is not among the m. It adds the same number,
    coefficients · mean, to all of a mask's logits, so that a network with m maps Vᵀ (p - mean) and the coefficients c V would
    need that one number per mask and no map for it. Uncentred, one of the m components would be spent on what is constant.
    """

    branch: LinearMasks
    mean: Tensor
    """(k,) float32."""
    components: Tensor
    """(k, m) float32: V, orthonormal columns."""

    def __call__(self, found: Detections, truth: Instances, image_id: int, inference: InferenceConfig) -> Detections:
        if found.prototypes is None:
            return self.branch.reassembled(found, inference)
        return self.branch.reassembled(replace(found, prototypes=self.project(found.prototypes)), inference)

    def to(self, device: str) -> Project:
        return Project(self.branch, self.mean.to(device), self.components.to(device))

    def project(self, prototypes: Tensor) -> Tensor:
        """(k, h, w) maps of rank m plus a constant each, from (k, h, w) prototypes."""
        mean = self.mean[:, None]
        flat = mean + self.components @ (self.components.T @ (prototypes.flatten(1) - mean))
        return flat.reshape(prototypes.shape)


def training_moments(model: Model, train: CocoSplit, device: str) -> PrototypeMoments:
    """Of the prototypes in `TRAINING_IMAGES` images of `train`. Raises UserError where the network has none."""
    branch = needs_prototypes(model, "inference.intervention")
    inference = InferenceConfig(**model.config.inference_defaults)
    moments, predictor = PrototypeMoments(branch.map_count, model.num_classes), Predictor(model)
    for image_id in train.image_ids[:TRAINING_IMAGES]:
        image = train.image(image_id).to(device)
        moments.add(predictor.predict([image], inference)[0])
    return moments
