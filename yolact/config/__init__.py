"""Configuration values, grouped by the part of the library that owns them. Nothing here imports torch.

`base` holds the common class and the error it raises; `model`, `engine`, `inference`, `interventions`,
`training` and `measure` hold the fields.
"""

from yolact.config.base import Config, ConfigError
from yolact.config.engine import EngineConfig
from yolact.config.inference import InferenceConfig
from yolact.config.interventions import (
    KeepConfig,
    NoIntervention,
    NoiseConfig,
    OracleConfig,
    PaddingConfig,
    ProjectConfig,
)
from yolact.config.measure import (
    CoefficientsConfig,
    ErrorsConfig,
    EvaluationConfig,
    LeakageConfig,
    ProbesConfig,
    PrototypesConfig,
    RedundancyConfig,
    ResponsesConfig,
    SpeedConfig,
    StabilityConfig,
)
from yolact.config.model import (
    AnchorConfig,
    BackboneConfig,
    CustomMaskConfig,
    CustomModelConfig,
    FCMaskConfig,
    FPNConfig,
    HeadConfig,
    LossConfig,
    MaskBranchConfig,
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
    "CoefficientsConfig",
    "Config",
    "ConfigError",
    "CustomMaskConfig",
    "CustomModelConfig",
    "EngineConfig",
    "ErrorsConfig",
    "EvaluationConfig",
    "FCMaskConfig",
    "FPNConfig",
    "HeadConfig",
    "InferenceConfig",
    "KeepConfig",
    "LeakageConfig",
    "LossConfig",
    "MaskBranchConfig",
    "MaskRCNNConfig",
    "MatchingConfig",
    "ModelConfig",
    "NoIntervention",
    "NoMaskConfig",
    "NoiseConfig",
    "OracleConfig",
    "PaddingConfig",
    "ProbesConfig",
    "ProjectConfig",
    "PrototypeConfig",
    "PrototypesConfig",
    "RedundancyConfig",
    "ResponsesConfig",
    "SpeedConfig",
    "StabilityConfig",
    "TrainingConfig",
    "YolactConfig",
]
