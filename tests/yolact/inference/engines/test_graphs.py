"""What is compiled computes what the reference does; here it runs uncompiled, so that only the mathematics is asked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, tiny_model
from yolact.config import BackboneConfig, InferenceConfig, PrototypeConfig
from yolact.inference.engines.assembly import AssemblyGraph, masks_by_box
from yolact.inference.engines.network_graph import NetworkGraph
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.passes.upsampled_conv import UpsampledConv
from yolact.models.backbones import build_backbone
from yolact.ops import masks
from yolact.ops.resampling import matrix, taps

CPU = torch.device("cpu")


def lively(network, seed=0):
    """Batch norm with statistics that folding can't ignore."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight.data, 0.5)):
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + low)
            module.bias.data.copy_(torch.rand(module.bias.shape, generator=generator) - 0.5)
    return network.eval()


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18", "mobilenet_v2", "darknet53"])
def test_folding_leaves_no_batch_norm_and_the_same_function(name):
    torch.manual_seed(0)
    network = lively(build_backbone(BackboneConfig(name=name, weights=None)))
    folded = fold_batch_norm(network)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for found, expected in zip(folded(image), network(image), strict=True):
            assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_a_convolution_that_something_else_reads_keeps_its_batch_norm():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x):
            y = self.conv(x)
            return self.bn(y) + y

    network = lively(Twice())
    image = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(fold_batch_norm(network)(image), network(image))


def test_a_network_that_cannot_be_traced_stays_itself():
    class Branching(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    network = Branching()
    assert fold_batch_norm(network) is network


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_upsampling_and_convolution_change_places(height, width, seed):
    torch.manual_seed(seed)
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    image = torch.randn(2, 3, height, width, dtype=torch.float64)
    expected = conv(F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)).relu()
    torch.testing.assert_close(UpsampledConv(conv)(image), expected)


@pytest.mark.parametrize(
    ("options", "replaced"), [({}, True), ({"stride": 2}, False), ({"padding_mode": "reflect"}, False), ({"groups": 3}, False)]
)
def test_only_plain_convolutions_change_places(options, replaced):
    assert is_plain(nn.Conv2d(3, 3, 3, padding=1, **options)) is replaced


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 5), *[st.integers(2, 70)] * 4, st.booleans())
def test_masks_are_the_references(seed, n, h, w, height, width, crop):
    """At most 1 pixel in 10,000 may differ; one may always, for images of fewer pixels."""
    generator = torch.Generator().manual_seed(seed)
    prototypes, coefficients = torch.rand(6, h, w, generator=generator), torch.randn(n, 6, generator=generator)
    boxes = torch.rand(n, 4, generator=generator) * 1.4 - 0.2
    config = InferenceConfig(crop=crop)
    found = AssemblyGraph(config)(coefficients, prototypes, boxes, matrix(w, width), taps(h, height))
    soft = masks.assemble(prototypes, coefficients, boxes if crop else None, config.crop_padding)
    expected = masks.binarize(soft, (height, width), config.mask_threshold)
    for masks_found in (found, masks_by_box(coefficients, prototypes, boxes, (height, width), config)):
        assert masks_found.dtype == torch.bool and masks_found.shape == expected.shape
        assert (masks_found != expected).sum() <= max(1, expected.numel() / 10_000)


CONFIGS = {
    "prototypes": TINY,
    "fc_mask": TINY_FC_MASK,
    "odd": TINY.replace(mask_branch=PrototypeConfig(k=3, channels=8, depth=1, prototype_activation="none")),
    "reflect": TINY.replace(padding="reflect"),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_the_networks_graph_gives_the_raw_outputs(config, dtype):
    model = lively(tiny_model(config))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)) * 255
    with torch.no_grad():
        raw, outputs = model(images), NetworkGraph(model, dtype, masks=True)(images)
    expected = [*raw.dense[:3], *raw.context]
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().max() <= (1e-4 if dtype == torch.float32 else 0.1) * theirs.abs().max()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
