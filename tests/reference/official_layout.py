"""Names and shapes of the official checkpoints, generated from the description of their layout."""

from __future__ import annotations

import re
from pathlib import Path

RESNET_BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
DARKNET_BLOCKS = (1, 2, 8, 8, 4)

CHECKPOINTS = {
    "base": ("resnet101", 80),
    "im400": ("resnet101", 80),
    "im700": ("resnet101", 80),
    "resnet50": ("resnet50", 80),
    "darknet53": ("darknet53", 80),
    "resnet50_pascal": ("resnet50", 20),
    "plus_base": ("resnet101", 80, 9, ([0, 4, 23, 3], 3)),
    "plus_resnet50": ("resnet50", 80, 9, ([0, 4, 6, 3], 1)),
}
"""File name to backbone, classes, anchors per cell, and of YOLACT++ `dcn_layers` and `dcn_interval`; all with 32 prototypes."""


def norm(name, channels):
    yield from ((f"{name}.{part}", (channels,)) for part in ("weight", "bias", "running_mean", "running_var"))
    yield f"{name}.num_batches_tracked", ()


def conv(name, outputs, inputs, size):
    yield f"{name}.weight", (outputs, inputs, size, size)
    yield f"{name}.bias", (outputs,)


def conv_norm(conv_name, norm_name, outputs, inputs, size):
    yield f"{conv_name}.weight", (outputs, inputs, size, size)
    yield from norm(norm_name, outputs)


def is_deformable(block, count, layers, interval):
    """The rule of the official `_make_layer`, its two cases apart."""
    if block == 0:
        return layers >= count
    return block + layers >= count and block % interval == 0


def resnet(blocks, deformable=None):
    layers, interval = deformable or ([0, 0, 0, 0], 1)
    yield from conv_norm("backbone.conv1", "backbone.bn1", 64, 3, 7)
    inputs = 64
    for stage, count in enumerate(blocks):
        planes = 64 * 2**stage
        for block in range(count):
            prefix = f"backbone.layers.{stage}.{block}"
            yield from conv_norm(f"{prefix}.conv1", f"{prefix}.bn1", planes, inputs, 1)
            yield from conv_norm(f"{prefix}.conv2", f"{prefix}.bn2", planes, planes, 3)
            if is_deformable(block, count, layers[stage], interval):
                yield f"{prefix}.conv2.bias", (planes,)
                yield from conv(f"{prefix}.conv2.conv_offset_mask", 27, planes, 3)
            yield from conv_norm(f"{prefix}.conv3", f"{prefix}.bn3", 4 * planes, planes, 1)
            if block == 0:
                yield from conv_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1", 4 * planes, inputs, 1)
            inputs = 4 * planes


def darknet():
    yield from conv_norm("backbone._preconv.0", "backbone._preconv.1", 32, 3, 3)
    for stage, count in enumerate(DARKNET_BLOCKS):
        half = 32 * 2**stage
        prefix = f"backbone.layers.{stage}"
        yield from conv_norm(f"{prefix}.0.0", f"{prefix}.0.1", 2 * half, half, 3)
        for block in range(1, count + 1):
            yield from conv_norm(f"{prefix}.{block}.conv1.0", f"{prefix}.{block}.conv1.1", half, 2 * half, 1)
            yield from conv_norm(f"{prefix}.{block}.conv2.0", f"{prefix}.{block}.conv2.1", 2 * half, half, 3)


def rescoring(classes, channels=(8, 16, 32, 64, 128)):
    for place, (outputs, inputs) in enumerate(zip(channels, (1, *channels), strict=False)):
        yield from conv(f"maskiou_net.maskiou_net.{2 * place}", outputs, inputs, 3)
    yield from conv(f"maskiou_net.maskiou_net.{2 * len(channels)}", classes, channels[-1], 1)


def layout(backbone, classes, anchors=3, deformable=None, k=32):
    """Name to shape of every tensor, `num_batches_tracked` included; with `deformable`, of YOLACT++."""
    body = darknet() if backbone == "darknet53" else resnet(RESNET_BLOCKS[backbone], deformable)
    inputs = (1024, 512, 256) if backbone == "darknet53" else (2048, 1024, 512)
    shapes = dict(body)
    for i in range(3):
        shapes |= dict(conv(f"fpn.lat_layers.{i}", 256, inputs[i], 1))
        shapes |= dict(conv(f"fpn.pred_layers.{i}", 256, 256, 3))
    for i in range(2):
        shapes |= dict(conv(f"fpn.downsample_layers.{i}", 256, 256, 3))
    for i in (0, 2, 4, 8):
        shapes |= dict(conv(f"proto_net.{i}", 256, 256, 3))
    shapes |= dict(conv("proto_net.10", k, 256, 1))
    shapes |= dict(conv("prediction_layers.0.upfeature.0", 256, 256, 3))
    for name, size in (("bbox", 4), ("conf", classes + 1), ("mask", k)):
        shapes |= dict(conv(f"prediction_layers.0.{name}_layer", anchors * size, 256, 3))
    shapes |= dict(rescoring(classes)) if deformable else {}
    return shapes | dict(conv("semantic_seg_conv", classes, 256, 1))


def read_listing(path: Path):
    """Name to shape of a listing of lines `name <tab> (shape) <tab> dtype`."""
    lines = (line.split("\t") for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {name: tuple(int(number) for number in re.findall(r"\d+", shape)) for name, shape, _ in lines}
