"""From a configuration to the network it describes."""

from __future__ import annotations

from yolact.config.model import CellConfig, CustomModelConfig, Mask2FormerConfig, ModelConfig, TwoStageConfig
from yolact.models.base import Model
from yolact.models.box_free.mask2former import Mask2Former
from yolact.models.box_free.solo.model import Solo
from yolact.models.custom import construct
from yolact.models.one_stage.model import OneStage
from yolact.models.two_stage import TWO_STAGE


def build_model(config: ModelConfig, num_classes: int, pretrained: bool = True) -> Model:
    """The model that `config` describes, weights drawn from torch's global generator.

    Args:
        config: any of `yolact.config.model`. A model given by import path is called with (config, num_classes, **options).
        num_classes: without background.
        pretrained: False leaves the backbone at random weights, for a model about to load its own.

    Raises:
        UserError: backbone weights can't be fetched, read or fitted.
        ConfigError: what an import path names can't be imported, or called with its options.
    """
    if isinstance(config, CustomModelConfig):
        return construct(config.kind, "model.kind", Model, (config, num_classes), config.options)
    if isinstance(config, TwoStageConfig):
        return TWO_STAGE[type(config)](config, num_classes, pretrained)
    if isinstance(config, Mask2FormerConfig):
        return Mask2Former(config, num_classes, pretrained)
    if isinstance(config, CellConfig):
        return Solo(config, num_classes, pretrained)
    return OneStage(config, num_classes, pretrained)
