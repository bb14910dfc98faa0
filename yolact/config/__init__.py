"""Configuration values, grouped by the part of the library that owns them. Nothing here imports torch.

`base` holds the common class and the error it raises; `model`, `inference`, `training` and `measure` hold the fields.
"""

from yolact.config.base import Config, ConfigError
from yolact.config.inference import InferenceConfig
from yolact.config.measure import EvaluationConfig, PrototypesConfig, SpeedConfig
from yolact.config.model import (
    AnchorConfig,
    BackboneConfig,
    FCMaskConfig,
    FPNConfig,
    HeadConfig,
    LossConfig,
    MaskRCNNConfig,
    MatchingConfig,
    ModelConfig,
    NoMaskConfig,
    PrototypeConfig,
    YolactConfig,
)
from yolact.config.training import AugmentationConfig, TrainingConfig

__all__ = [
    "AnchorConfig",
    "AugmentationConfig",
    "BackboneConfig",
    "Config",
    "ConfigError",
    "EvaluationConfig",
    "FCMaskConfig",
    "FPNConfig",
    "HeadConfig",
    "InferenceConfig",
    "LossConfig",
    "MaskRCNNConfig",
    "MatchingConfig",
    "ModelConfig",
    "NoMaskConfig",
    "PrototypeConfig",
    "PrototypesConfig",
    "SpeedConfig",
    "TrainingConfig",
    "YolactConfig",
]
