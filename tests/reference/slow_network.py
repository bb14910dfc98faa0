"""Forward pass of the slow second YOLACT above the backbone, from a state dict in the official layout; numpy float64."""

from __future__ import annotations

import numpy as np

from tests.reference.slow_masks import bilinear


def conv(x, weight, bias, stride=1):
    """(c, h, w) by (o, c, k, k), zero padding k // 2."""
    size = weight.shape[-1]
    padding = size // 2
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    height, width = ((n + 2 * padding - size) // stride + 1 for n in x.shape[1:])
    result = np.empty((len(weight), height, width))
    for j in range(height):
        for i in range(width):
            window = padded[:, j * stride : j * stride + size, i * stride : i * stride + size]
            result[:, j, i] = np.einsum("ocyx,cyx->o", weight, window) + bias
    return result


def relu(x):
    return np.maximum(x, 0)


def resize(x, height, width):
    return np.stack([bilinear(channel, height, width) for channel in x])


class SlowNetwork:
    """weights: the official layout's names to float64 arrays."""

    def __init__(self, weights):
        self.weights = {name: np.asarray(value, dtype=np.float64) for name, value in weights.items()}

    def conv(self, name, x, stride=1):
        return conv(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], stride)

    def pyramid(self, c3, c4, c5):
        """P3 to P7 of the backbone's (c, h, w) maps."""
        merged, top_down = None, []
        for i, feature in enumerate((c5, c4, c3)):
            lateral = self.conv(f"fpn.lat_layers.{i}", feature)
            merged = lateral if merged is None else resize(merged, *lateral.shape[1:]) + lateral
            top_down.append(relu(self.conv(f"fpn.pred_layers.{i}", merged)))
        p6 = self.conv("fpn.downsample_layers.0", top_down[0], stride=2)
        p7 = self.conv("fpn.downsample_layers.1", p6, stride=2)
        return [*reversed(top_down), p6, p7]

    def prototypes(self, p3):
        """(k, 2h, 2w), after the ReLU."""
        x = p3
        for i in (0, 2, 4):
            x = relu(self.conv(f"proto_net.{i}", x))
        x = relu(resize(x, 2 * x.shape[1], 2 * x.shape[2]))
        x = relu(self.conv("proto_net.8", x))
        return relu(self.conv("proto_net.10", x))

    def head(self, level, anchors):
        """Offsets (h w A, 4), logits (h w A, C+1) and coefficients (h w A, k) of one level; anchors run fastest."""
        x = relu(self.conv("prediction_layers.0.upfeature.0", level))
        flat = lambda y: y.transpose(1, 2, 0).reshape(y.shape[1] * y.shape[2] * anchors, -1)  # noqa: E731
        out = {kind: flat(self.conv(f"prediction_layers.0.{kind}_layer", x)) for kind in ("bbox", "conf", "mask")}
        return out["bbox"], out["conf"], np.tanh(out["mask"])

    def semantic(self, p3):
        return self.conv("semantic_seg_conv", p3)
