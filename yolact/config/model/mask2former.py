"""Mask2Former: queries that become masks. Lengths are in pixels of the network's input."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from yolact.config.base import Config, at_odds
from yolact.config.fields import Fraction, Positive
from yolact.config.model.base import AnyModelConfig
from yolact.config.model.parts import BackboneConfig, ImageSize


class PixelDecoderConfig(Config):
    """Deformable attention over C3, C4, C5, then a map of stride 4 (transformers' Mask2FormerPixelDecoder)."""

    layers: Positive = 6
    feedforward: Positive = 1024


class QueryDecoderConfig(Config):
    """Queries attend to the pixels of the masks they have made so far (transformers' Mask2FormerTransformerModule)."""

    layers: Positive = 9
    feedforward: Positive = 2048
    queries: Positive = 100
    """Detections before any threshold are the best of queries times classes."""


class QueryLossConfig(Config):
    """Weights of Mask2Former's loss terms (transformers' Mask2FormerLoss), which every layer of the decoder adds; the matching
    has the same."""

    classification: Annotated[float, Field(ge=0)] = 2.0
    mask: Annotated[float, Field(ge=0)] = 5.0
    dice: Annotated[float, Field(ge=0)] = 5.0
    no_object: Fraction = 0.1
    """Weight of the class "no object" among the others."""
    points: Positive = 12_544
    """Points of each mask that are compared."""
    oversampling: Annotated[float, Field(ge=1)] = 3.0
    """Points drawn for each that is kept."""
    importance: Fraction = 0.75
    """Part of the points that are the least certain of those drawn; the others are drawn by themselves."""


class Mask2FormerConfig(AnyModelConfig):
    """Mask2Former of Hugging Face's `transformers` on the workbench's backbones (`yolact/models/box_free/mask2former.py`).

    Defaults are the published ones. Nothing is downloaded but the backbone's weights, where they are asked for.
    """

    relative_cost = 10
    inference_defaults = {"suppression": "none"}  # noqa: RUF012 - a class variable of the base

    kind: Literal["mask2former"] = "mask2former"
    image_size: ImageSize = 550
    """Side of the square input in pixels; images are squashed to it, as for the other models."""
    backbone: BackboneConfig = BackboneConfig(name="resnet50")
    channels: Positive = 256
    """Of the pixel decoder's maps, the queries and the masks' features; a multiple of 32."""
    heads: Positive = 8
    """Of every attention."""
    pixel_decoder: PixelDecoderConfig = PixelDecoderConfig()
    query_decoder: QueryDecoderConfig = QueryDecoderConfig()
    loss: QueryLossConfig = QueryLossConfig()

    @property
    def trains_batch_norm(self) -> bool:
        return not self.backbone.freeze_bn

    @model_validator(mode="after")
    def _divisible(self) -> Mask2FormerConfig:
        if self.channels % 32:
            raise at_odds(f"channels {self.channels} is no multiple of 32, the groups of GroupNorm", "channels")
        if self.channels % self.heads:
            raise at_odds(f"heads {self.heads} does not divide channels {self.channels}", "heads", "channels")
        return self
