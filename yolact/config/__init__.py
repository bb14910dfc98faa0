"""Configuration values, grouped by the part of the library that owns them. Nothing here imports torch.

`base` has the common class and the error it raises, `fields` the common types and marks of fields; `model`, `mask_branch`,
`engine`, `inference`, `interventions`, `training` and `evaluation` have the fields. Those of a measure stand with the measure
(`yolact/measures/`).
"""

from yolact.config.base import Config, ConfigError
from yolact.config.engine import EngineConfig
from yolact.config.evaluation import EvaluationConfig, SpeedConfig
from yolact.config.inference import InferenceConfig, MatrixNMSConfig
from yolact.config.interventions import (
    KeepConfig,
    NoIntervention,
    NoiseConfig,
    OracleConfig,
    PaddingConfig,
    ProjectConfig,
)
from yolact.config.mask_branch import (
    BlendMaskConfig,
    CustomMaskConfig,
    DynamicMaskConfig,
    FCMaskConfig,
    MaskBranchConfig,
    MaskIoUConfig,
    NoMaskConfig,
    PrototypeConfig,
    RescoringConfig,
    RoIMaskConfig,
)
from yolact.config.model import (
    CenterNetConfig,
    CustomModelConfig,
    DecoupledSoloConfig,
    FasterRCNNConfig,
    FCISConfig,
    FCOSConfig,
    Mask2FormerConfig,
    MaskRCNNConfig,
    MNCConfig,
    ModelConfig,
    MSRCNNConfig,
    PANetConfig,
    RetinaNetConfig,
    SoloConfig,
    Solov2Config,
    SSDConfig,
    YolactConfig,
    YOLOv3Config,
)
from yolact.config.model.boxes.centernet import CenterHeadConfig, CenterLossConfig, CenterMatchingConfig, UpsamplerConfig
from yolact.config.model.boxes.ssd import DefaultBoxConfig, SSDLossConfig, SSDNeckConfig
from yolact.config.model.boxes.yolov3 import YOLOv3LossConfig, YOLOv3MatchingConfig, YOLOv3NeckConfig
from yolact.config.model.fcos import PointHeadConfig, PointLossConfig, PointMatchingConfig
from yolact.config.model.mask2former import PixelDecoderConfig, QueryDecoderConfig, QueryLossConfig
from yolact.config.model.parts import BackboneConfig, DeformableConfig, FPNConfig
from yolact.config.model.retinanet import BestMatchConfig, OctaveAnchorConfig, RetinaNetLossConfig, TowerHeadConfig
from yolact.config.model.solo import CellHeadConfig, CellLossConfig, CellMatchingConfig, MaskFeaturesConfig
from yolact.config.model.yolact import AnchorConfig, HeadConfig, LossConfig, MatchingConfig
from yolact.config.training import AugmentationConfig, TrainingConfig

__all__ = [
    "AnchorConfig",
    "AugmentationConfig",
    "BackboneConfig",
    "BestMatchConfig",
    "BlendMaskConfig",
    "CellHeadConfig",
    "CellLossConfig",
    "CellMatchingConfig",
    "CenterHeadConfig",
    "CenterLossConfig",
    "CenterMatchingConfig",
    "CenterNetConfig",
    "Config",
    "ConfigError",
    "CustomMaskConfig",
    "CustomModelConfig",
    "DecoupledSoloConfig",
    "DefaultBoxConfig",
    "DeformableConfig",
    "DynamicMaskConfig",
    "EngineConfig",
    "EvaluationConfig",
    "FCISConfig",
    "FCMaskConfig",
    "FCOSConfig",
    "FPNConfig",
    "FasterRCNNConfig",
    "HeadConfig",
    "InferenceConfig",
    "KeepConfig",
    "LossConfig",
    "MNCConfig",
    "MSRCNNConfig",
    "Mask2FormerConfig",
    "MaskBranchConfig",
    "MaskFeaturesConfig",
    "MaskIoUConfig",
    "MaskRCNNConfig",
    "MatchingConfig",
    "MatrixNMSConfig",
    "ModelConfig",
    "NoIntervention",
    "NoMaskConfig",
    "NoiseConfig",
    "OctaveAnchorConfig",
    "OracleConfig",
    "PANetConfig",
    "PaddingConfig",
    "PixelDecoderConfig",
    "PointHeadConfig",
    "PointLossConfig",
    "PointMatchingConfig",
    "ProjectConfig",
    "PrototypeConfig",
    "QueryDecoderConfig",
    "QueryLossConfig",
    "RescoringConfig",
    "RetinaNetConfig",
    "RetinaNetLossConfig",
    "RoIMaskConfig",
    "SSDConfig",
    "SSDLossConfig",
    "SSDNeckConfig",
    "SoloConfig",
    "Solov2Config",
    "SpeedConfig",
    "TowerHeadConfig",
    "TrainingConfig",
    "UpsamplerConfig",
    "YOLOv3Config",
    "YOLOv3LossConfig",
    "YOLOv3MatchingConfig",
    "YOLOv3NeckConfig",
    "YolactConfig",
]
