"""What is compiled computes what the reference does; here it runs uncompiled, so that only the mathematics is asked."""

from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_leaves
from torchvision.ops import DeformConv2d

from tests.support.networks import SIZE, TINY, TINY_FC_MASK, TINY_POINTS, tiny_model
from yolact.config import (
    BackboneConfig,
    CustomModelConfig,
    InferenceConfig,
    MaskRCNNConfig,
    MSRCNNConfig,
    PANetConfig,
    PrototypeConfig,
)
from yolact.inference.engines.assembly import AssemblyGraph, masks_by_box
from yolact.inference.engines.engine import EngineError
from yolact.inference.engines.network_graph import NetworkGraph, RawForm
from yolact.inference.engines.passes.folding import fold_batch_norm
from yolact.inference.engines.passes.plain_conv import is_plain
from yolact.inference.engines.passes.upsampled_conv import UpsampledConv
from yolact.models.backbones import build_backbone
from yolact.models.base import Model
from yolact.models.build import build_model
from yolact.ops import mask_assembly, masks
from yolact.ops.resampling import matrix, taps
from yolact.structures import Detections

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


@pytest.mark.parametrize("name", ["resnet_tiny", "resnet18", "mobilenet_v2", "darknet53", "vovnet_tiny", "vovnet19_slim_dw"])
def test_folding_leaves_no_batch_norm_and_the_same_function(name):
    torch.manual_seed(0)
    network = lively(build_backbone(BackboneConfig(name=name, weights=None)))
    folded = fold_batch_norm(deepcopy(network))
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


def conv_and_norm():
    return nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))


def test_a_module_that_cannot_be_traced_is_logged_and_its_parts_are_folded(caplog):
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.inner = nn.BatchNorm2d(3), conv_and_norm()

        def forward(self, x):
            x = self.norm(x)
            return self.inner(x) if x.sum() > 0 else -self.inner(x)

    network, image = lively(Branching()), torch.randn(2, 3, 4, 4)
    folded = fold_batch_norm(deepcopy(network))
    assert [type(module).__name__ for module in folded.modules()].count("BatchNorm2d") == 1
    assert "batch norm of Branching is not folded" in caplog.text
    torch.testing.assert_close(folded(image), network(image))


def test_folding_goes_into_modules_without_a_forward_pass_and_deformable_convolutions():
    class Deformable(nn.Module):
        def __init__(self):
            super().__init__()
            self.offset, self.norm = nn.Conv2d(3, 18, 3, padding=1), nn.BatchNorm2d(3)
            self.conv = DeformConv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return self.norm(self.conv(x, self.offset(x)))

    network, image = lively(nn.ModuleDict({"a": conv_and_norm(), "b": Deformable()})), torch.randn(2, 3, 4, 4)
    folded = fold_batch_norm(deepcopy(network))
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    for name in network:
        torch.testing.assert_close(folded[name](image), network[name](image))


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
    soft = mask_assembly.assemble(prototypes, coefficients, boxes if crop else None, config.crop_padding)
    expected = masks.binarize(soft, (height, width), config.mask_threshold)
    for masks_found in (found, masks_by_box(coefficients, prototypes, boxes, (height, width), config)):
        assert masks_found.dtype == torch.bool and masks_found.shape == expected.shape
        assert (masks_found != expected).sum() <= max(1, expected.numel() / 10_000)


MASK_RCNN = MaskRCNNConfig(image_size=SIZE, backbone=BackboneConfig(name="resnet_tiny", weights=None, width=4))
MS_RCNN = MSRCNNConfig(image_size=SIZE, backbone=MASK_RCNN.backbone, channels=16, representation=16)
PANET = PANetConfig(image_size=SIZE, backbone=MASK_RCNN.backbone, channels=16, representation=16, groups=2)
OWN = CustomModelConfig(kind=f"{__name__}:OwnModel", image_size=SIZE)


class OwnModel(Model):
    """A model given by import path: one convolution with batch norm, no dense head."""

    section_names = ("preprocess", "all")

    def __init__(self, config, num_classes):
        super().__init__()
        self.config, self.image_size, self.num_classes = config, config.image_size, num_classes
        self.layer = conv_and_norm()
        self.register_pixels((0.0,) * 3, (255.0,) * 3)

    def forward(self, images, masks=True):
        return {"mean": self.layer((images - self.pixel_mean) / self.pixel_std).mean(dim=(2, 3)), "nothing": None}

    def postprocess(self, raw, sizes, inference):
        boxes = torch.tensor([[0.0, 0, 1, 1]])
        return [Detections(boxes, each[:1].sigmoid(), torch.tensor([0]), None) for each in raw["mean"]]


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
    assert_near(outputs, raw, dtype)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def assert_near(outputs, raw, dtype):
    expected = [leaf for leaf in tree_leaves(raw) if leaf is not None]
    assert len(outputs) == len(expected)
    for ours, theirs in zip(outputs, expected, strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).abs().max() <= (1e-4 if dtype == torch.float32 else 0.1) * theirs.abs().max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("config", [MASK_RCNN, PANET, OWN, TINY_POINTS], ids=["mask_rcnn", "panet", "import path", "points"])
def test_any_model_has_a_graph_without_the_weights_of_other_steps(config, dtype):
    model = lively(build_model(config, 3))
    images = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2)) * 255
    graph = NetworkGraph(model, dtype, masks=True)
    with torch.no_grad():
        raw = model(images)
        assert_near(graph(images), raw, dtype)
    assert not [module for module in graph.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not [name for name, _ in graph.named_parameters() if "roi_heads" in name or "semantic" in name]
    restored = RawForm(model, masks=True).raw(graph(images))
    assert type(restored) is type(raw) and len(tree_leaves(restored)) == len(tree_leaves(raw))


def test_a_forward_pass_that_depends_on_values_is_refused():
    model = tiny_model()
    model.forward = lambda images, masks=True: images[images > 3]
    with pytest.raises(EngineError, match=r"OneStage.forward cannot be traced .*kind to eager"):
        RawForm(model, masks=True)


def test_dynamo_takes_the_graph_whole():
    graph = NetworkGraph(lively(tiny_model()), torch.float32, masks=True)
    images = torch.rand(1, 3, SIZE, SIZE) * 255
    with torch.no_grad():
        compiled = torch.compile(graph, backend="eager", fullgraph=True)(images)
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(compiled, graph(images), strict=True))
