"""Backbones: image in, C3, C4 and C5 out (strides 8, 16, 32), and C2 (stride 4) where a model reads it.

One file per family; `build_backbone` lists them.

ResNets and MobileNetV2 are torchvision's and keep its parameter names, so its ImageNet files load as they are.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision

from yolact.config.base import ConfigError
from yolact.config.model.parts import BackboneConfig
from yolact.errors import UserError
from yolact.models.backbones.backbone import Backbone
from yolact.models.backbones.darknet import DarkNet53
from yolact.models.backbones.deformable import learned_anew, make_deformable
from yolact.models.backbones.mobilenet import MobileNetV2
from yolact.models.backbones.resnet import ResNet, TinyResNet
from yolact.models.backbones.swin import Swin
from yolact.models.backbones.vovnet import BODIES, VoVNet, tiny_body
from yolact.models.custom import construct

__all__ = [
    "Backbone",
    "DarkNet53",
    "MobileNetV2",
    "ResNet",
    "Swin",
    "TinyResNet",
    "VoVNet",
    "build_backbone",
]

_TORCHVISION = {
    "resnet101": (torchvision.models.resnet101, torchvision.models.ResNet101_Weights.IMAGENET1K_V1, ResNet),
    "resnet50": (torchvision.models.resnet50, torchvision.models.ResNet50_Weights.IMAGENET1K_V1, ResNet),
    "resnet18": (torchvision.models.resnet18, torchvision.models.ResNet18_Weights.IMAGENET1K_V1, ResNet),
    "swin_tiny": (torchvision.models.swin_t, torchvision.models.Swin_T_Weights.IMAGENET1K_V1, Swin),
    "mobilenet_v2": (torchvision.models.mobilenet_v2, torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1, MobileNetV2),
}


def build_backbone(config: BackboneConfig, pretrained: bool = True, c2: bool = False) -> Backbone:
    """The backbone that `config` names, with its weights unless `pretrained` is False.

    Args:
        c2: its maps begin with C2 instead of C3.

    Raises:
        ConfigError: the name is an import path that leads nowhere, "imagenet" weights don't exist for it, or it has no C2.
        UserError: the weights can't be fetched, read or fitted.
    """
    weights = config.weights if pretrained else None
    if config.name in _TORCHVISION:
        build, imagenet, wrap = _TORCHVISION[config.name]
        network = build(weights=_fetch(imagenet, config.name) if weights == "imagenet" else None)
        backbone: Backbone = wrap(network)
    elif config.name == "resnet_tiny":
        backbone = TinyResNet(config.width)
    elif config.name == "darknet53":
        backbone = DarkNet53()
    elif config.name in BODIES:
        backbone = VoVNet(BODIES[config.name])
    elif config.name == "vovnet_tiny":
        backbone = VoVNet(tiny_body(config.width))
    else:
        backbone = construct(config.name, "model.backbone.name", Backbone, (config,), config.options)
    if c2:
        if backbone.c2_channels is None:
            raise ConfigError(
                f"backbone.name: this model reads C2, at stride 4, which {config.name!r} does not give; "
                "set `c2_channels` in its class and return `self.chosen([c2, c3, c4, c5])`, or choose another backbone",
                "model.backbone.name",
            )
        backbone.include_c2()
    if weights == "imagenet" and config.name not in _TORCHVISION:
        raise ConfigError(
            f"backbone.weights: there are no torchvision ImageNet weights for {config.name!r}; give a path, or null",
            "model.backbone.weights",
        )
    if config.deformable is not None:
        make_deformable(backbone, config.deformable)
    if weights not in (None, "imagenet"):
        _load(backbone, Path(weights))
    return backbone


def _fetch(imagenet, name: str):
    """torchvision's weights enum member, after making sure that its file is there (downloads into torch hub's cache)."""
    try:
        imagenet.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"ImageNet weights of {name} can't be fetched ({error}). Put {Path(imagenet.url).name} into "
            f"{Path(torch.hub.get_dir()) / 'checkpoints'}, or set model.backbone.weights to a path or to null"
        ) from error
    return imagenet


def _load(backbone: Backbone, path: Path) -> None:
    from yolact.models.checkpoint import read_state_dict
    from yolact.models.official.darknet import is_darknet, read_darknet
    from yolact.models.official.names import darknet_names
    from yolact.models.official.vovnet import vovnet_names

    if isinstance(backbone, DarkNet53) and is_darknet(path):
        state = read_darknet(path, backbone)
    else:
        renamed = {DarkNet53: darknet_names, VoVNet: vovnet_names}
        state = renamed.get(type(backbone), dict)(read_state_dict(path))
    own, anew = backbone.state_dict(), learned_anew(backbone)
    if not anew & state.keys():  # weights of plain convolutions
        own = {name: value for name, value in own.items() if name not in anew}
    missing = sorted(own.keys() - state.keys())
    unfit = sorted(name for name in own.keys() & state.keys() if own[name].shape != state[name].shape)
    if missing or unfit:
        raise UserError(f"{path}: not weights of this backbone; missing {missing[:5]}, of another shape {unfit[:5]}")
    backbone.load_state_dict(backbone.state_dict() | {name: state[name] for name in own})
